# The root file system of $image as a tar archive.
mkdir $root
unsquashfs -quiet -no-progress -force -dest $root "$image/root.squashfs"
tar --create --file "$out/root.tar" --directory $root --sort=name --numeric-owner --format=posix \
    --pax-option='exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime' --xattrs --xattrs-include='*' .
