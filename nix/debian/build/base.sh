# Bootstraps Debian: the essential packages, then $debs, then what is the collection's own in every image ($image).
begin_layer "" $essential $debs
(
    cd $root
    umask 022
    mkdir -p usr/bin usr/sbin usr/lib usr/lib64 usr/lib32 usr/libx32
    for directory in bin sbin lib lib64 lib32 libx32; do ln -s "usr/$directory" "$directory"; done
    phase "unpacking the essential packages"
    for deb in $essential; do
        dpkg-deb --fsys-tarfile "$deb" | tar --extract --keep-directory-symlink \
            --exclude='./usr/share/doc' --exclude='./usr/share/man' --exclude='./usr/share/locale'
    done
    mkdir -p var/lib/dpkg usr/share/man/man{1..8}  # packages put links there: that fails without
    : > var/lib/dpkg/status
    : > var/lib/dpkg/available
    : > etc/machine-id
    cp usr/share/base-passwd/passwd.master etc/passwd
    cp usr/share/base-passwd/group.master etc/group
)

# First, so that packages find our configuration and, for example, make no host keys.
mkdir -p $root/etc/systemd/system
cp -R "$image/etc/." $root/etc
cp -R "$image/usr/." $root/usr
chmod 0755 $root/usr/lib/compose/{apply-node,make-generated,own-volumes,renumber}
units=$root/usr/lib/systemd/system
mkdir -p $units/sysinit.target.wants $units/multi-user.target.wants $units/emergency.target.wants $units/rescue.target.wants
ln -s ../compose-{node,volumes,generated}.service $units/sysinit.target.wants/
ln -s ../systemd-networkd.service $units/multi-user.target.wants/
# The console lets nobody in, for root has no password.
for target in emergency rescue; do ln -s ../compose-emergency.service $units/$target.target.wants/; done
ln -sf multi-user.target $units/default.target
# What a machine that is only ever replaced has no use for, and would wait for at each boot: consoles to log in without a
# password, upkeep of the file system, records of logins and crashes, modules and file systems that are loaded at use anyway.
for unit in getty.target console-getty.service dpkg-db-backup.timer systemd-tmpfiles-clean.timer systemd-update-utmp.service \
    systemd-update-utmp-runlevel.service systemd-firstboot.service systemd-sysusers.service systemd-machine-id-commit.service systemd-pstore.service \
    systemd-random-seed.service systemd-binfmt.service e2scrub_reap.service e2scrub_all.timer modprobe@.service \
    sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount \
    proc-sys-fs-binfmt_misc.automount; do
    ln -s /dev/null "$root/etc/systemd/system/$unit"
done

enter_root
phase "installing the essential packages"
install $essential
phase "installing the base packages"
install $debs
leave_root

rm -rf $root/etc/ssh/ssh_host_* $root/etc/update-motd.d/*
echo LANG=C.UTF-8 > $root/etc/default/locale
end_layer 1
