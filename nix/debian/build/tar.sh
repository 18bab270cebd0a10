# The root file system of $image as a tar archive.
unpack_root "$image/root.squashfs" $root
tar --create --file "$out/root.tar" --directory $root --sort=name --numeric-owner --format=posix \
    --pax-option='exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime' --xattrs --xattrs-include='*' .
