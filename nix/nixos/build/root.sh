# shellcheck shell=bash disable=SC2154
# The root file system with the closure of $toplevel, as $out/root.squashfs or $out/root.tar ($format). What is in the store
# is packed from where it is. With $kernel and $initrd it also has these, at /boot/vmlinuz and /boot/initrd.img.
# It runs with errexit; no name begins with a dash; store paths have no spaces.
# shellcheck disable=SC2035,SC2046,SC2164
mkdir -p tree "$out"
cd tree
mkdir -p boot dev etc/NetworkManager/system-connections etc/nixos etc/ssh etc/udev/rules.d home mnt proc run sbin sys usr/bin var/log
mkdir -m 0700 root
mkdir -m 1777 tmp
ln -s "$toplevel/init" sbin/init
ln -s "$toplevel/etc/os-release" etc/os-release
cp "$closure/registration" nix-path-registration

if [ "$format" = squashfs ]; then
    # With -no-strip, what is given by its absolute path keeps it.
    SOURCE_DATE_EPOCH=0 mksquashfs * $(cat "$closure/store-paths") "$out/root.squashfs" -no-strip -no-hardlinks -all-root \
        -root-mode 0755 -b 1048576 -comp zstd -Xcompression-level 15 -processors "${NIX_BUILD_CORES:-1}" -quiet -no-progress
else
    : > etc/fstab
    mkdir -p nix/store
    # What unpacks images looks for regular files, by these names.
    cp -L "$kernel" boot/vmlinuz
    cp -L "$initrd" boot/initrd.img
    tar --create --file "$out/root.tar" --sort=name --mtime=@1 --owner=0 --group=0 --numeric-owner --format=posix \
        --pax-option='exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime' * --directory / $(sed 's|^/||' "$closure/store-paths")
fi
