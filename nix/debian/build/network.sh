# What comes behind the initramfs of $image where the root file system is on a server: drivers of network cards and NFS, with
# the tables by which modprobe finds them. The kernel, too, calls that when it needs another module.
unpack_root "$image/root.squashfs" $root
SOURCE_DATE_EPOCH=$(stat -c %Y $root/usr/lib/compose/identity)
export SOURCE_DATE_EPOCH

release=$(ls $root/lib/modules)
mkdir -p "initrd/usr/lib/modules/$release" initrd/sbin
ln -s usr/lib initrd/lib
ln -s /bin/busybox initrd/sbin/modprobe
for module in nfsv3 $(find "$root/lib/modules/$release/kernel/drivers/net" -type f \
    \( -path '*/net/ethernet/*' -o -path '*/net/phy/*' -o -path '*/net/mdio/*' -o -path '*/net/hyperv/*' \
    -o -name 'virtio_net.ko*' -o -path '*/vmxnet3/*' \) | sort | sed 's|.*/||; s|\.ko.*||'); do
    modprobe -d $root -S "$release" --show-depends "$module" 2>/dev/null | sed -n 's/^insmod //p' || true
done | awk '!seen[$1]++ { print $1 }' | while read -r file; do
    file=${file#*"/modules/$release/"}
    mkdir -p "initrd/lib/modules/$release/${file%/*}"
    cp "$root/lib/modules/$release/$file" "initrd/lib/modules/$release/$file"
done
cp "$root/lib/modules/$release"/modules.{order,builtin,builtin.modinfo} "initrd/lib/modules/$release"
depmod -b initrd "$release"
rm "initrd/lib/modules/$release"/*.bin

phase "packing"
archive initrd | gzip --no-name > "$out/network.cpio.gz"
