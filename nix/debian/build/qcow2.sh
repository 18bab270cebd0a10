# The disk of raw as qcow2.
qemu-img convert -f raw -O qcow2 -o compat=1.1 "$raw/disk.raw" "$out/disk.qcow2"
