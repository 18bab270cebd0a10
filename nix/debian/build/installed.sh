# The root file system of $image as an archive for whoever unpacks it to a partition and boots that, as Kadeploy does: with
# kernel and initramfs in it, and what only a machine of that kind needs ($tree). gzip, because every Kadeploy reads that;
# in pieces that end where their content says, so that those of another image are the same before and after what differs.
touch /build/start
unpack_root "$image/root.squashfs" $root
SOURCE_DATE_EPOCH=$(stat -c %Y $root/usr/lib/compose/identity)
export SOURCE_DATE_EPOCH

cp -RT "$tree" $root
mkdir -m 0700 $root/etc/compose
cp "$image/kernel" $root/boot/vmlinuz
chmod 0644 $root/boot/vmlinuz

phase "making the initramfs"
# The last of two archives in an initramfs wins: this one has another init, and modules for more disks.
mkdir -p initrd/modules
cp "$init" initrd/init
chmod 0755 initrd/init
release=$(ls $root/lib/modules)
for module in virtio_scsi sd_mod ahci ata_piix nvme megaraid_sas mpt3sas mpi3mr hpsa aacraid smartpqi ext4; do
    modprobe -d $root -S "$release" --show-depends "$module" 2>/dev/null | sed -n 's/^insmod //p' || true
done | awk '!seen[$1]++ { print $1 }' | while read -r file; do
    cp "$file" initrd/modules/
    basename "$file"
done > initrd/third
archive initrd | cat "$image/initrd" - > $root/boot/initrd.img

clamp_times /build/start
phase "packing"
tar --create --directory $root --sort=name --numeric-owner --format=posix \
    --pax-option='exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime' --xattrs --xattrs-include='*' . |
    gzip --no-name --rsyncable > "$out/installed.tar.gz"
