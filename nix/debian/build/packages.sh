# Installs $debs on top of $base, with the $answers to what they ask, and takes out again what they made for themselves only.
# Also unpacks the $kernel, if there is one, and makes what every initramfs has of it.
# shellcheck disable=SC2034  # $generated asks it
config=/build/${configPath##*/}
# shellcheck disable=SC1090  # of this collection
. "$generated"

begin_layer "$base" $debs ${kernel:-}

if [ -n "$debs" ]; then
    enter_root
    phase "installing packages"
    answers=$root/usr/lib/compose/debconf  # for what is made when a node boots, too
    cp "/build/${answersPath##*/}" "$answers"
    in_root debconf-set-selections "${answers#"$root"}"
    install $debs
    perl "$asked" $root "$answers"
    leave_root
fi

if [ -n "${kernel:-}" ]; then
    phase "adding the kernel"
    dpkg-deb --fsys-tarfile "$kernel" | tar --extract --directory $root --keep-directory-symlink --exclude='./usr/share/doc'
    release=$(ls $root/lib/modules)
    depmod -b $root "$release"
    cp $root/boot/vmlinuz-* "$out/kernel"
    rm -r ${root:?}/boot/*

    phase "making the initramfs"
    mkdir -p initrd/bin initrd/modules
    cp /bin/busybox initrd/bin/busybox
    cp "$init" initrd/init
    chmod 0755 initrd/init
    # Two lists: what every boot needs, and what is tried if no root was found by then.
    for list in first:virtio_pci,virtio_blk,squashfs,overlay,qemu_fw_cfg \
        second:virtio_scsi,sd_mod,ahci,ata_piix,nvme,loop,vfat,nls_cp437,nls_ascii,nls_iso8859-1,nls_utf8; do
        for module in $(echo "${list#*:}" | tr , ' '); do
            modprobe -d $root -S "$release" --show-depends "$module" 2>/dev/null | sed -n 's/^insmod //p' || true
        done | awk '!seen[$1]++ { print $1 }' | while read -r file; do
            cp "$file" initrd/modules/
            basename "$file"
        done > "initrd/${list%%:*}"
    done
    archive initrd > "$out/initrd"
fi
# Timers of packages would only find a file system that they cannot change for good.
rm -f "$root"/etc/systemd/system/timers.target.wants/*.timer
rm -f $root/var/log/{alternatives,dpkg}.log
find $root/var/log -type f -exec truncate --size=0 {} +  # services expect them: who is not root could not make them
find $root/usr/share/man -type l -delete  # alternatives and diversions, of pages that are not there
[ -L $root/etc/resolv.conf ] || : > $root/etc/resolv.conf
clean_root
take_generated
cp $made "$out/generated"
list_private > "$out/private"
end_layer 5
