#!/bin/busybox sh
# shellcheck shell=dash
# First process of a machine: finds the root file system that belongs to this kernel, puts a volatile layer on top, starts it.
/bin/busybox mkdir -p /proc /sys /dev /mnt /lower /upper /new
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys

read -r identity < /identity

load() {
    while read -r module; do
        /bin/busybox insmod "/modules/$module" 2>/dev/null
    done < "/$1"
}

# Whether /lower is the root file system meant: another disk may carry an older one.
found() {
    for root in /lower/role:/lower/packages /lower; do
        if [ -e "${root%%:*}/usr/lib/compose/identity" ]; then
            read -r other < "${root%%:*}/usr/lib/compose/identity"
            [ "$other" = "$identity" ] && return 0
        fi
    done
    /bin/busybox umount /lower
    return 1
}

# The root file system is a whole disk …
try_disks() {
    for disk in /dev/vd? /dev/sd? /dev/nvme?n?; do
        [ -e "$disk" ] && /bin/busybox mount -t squashfs -o ro "$disk" /lower 2>/dev/null && found && return 0
    done
    return 1
}

# … or a file in the partition with the boot loader.
try_partitions() {
    for partition in /dev/vd?1 /dev/sd?1 /dev/nvme?n?p1; do
        [ -e "$partition" ] || continue
        /bin/busybox mount -t vfat -o ro "$partition" /mnt 2>/dev/null || continue
        [ -e /mnt/root.squashfs ] && /bin/busybox mount -t squashfs -o ro,loop /mnt/root.squashfs /lower 2>/dev/null &&
            found && return 0
        /bin/busybox umount /mnt
    done
    return 1
}

find_root() {
    load first
    try_disks && return 0
    load second
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        try_partitions && return 0
        try_disks && return 0
        /bin/busybox sleep 0.5
    done
    return 1
}

if ! find_root; then
    echo "no disk holds the root file system $identity; disks:" > /dev/console
    /bin/busybox cat /proc/partitions > /dev/console
    /bin/busybox sleep 5
    exit 1
fi
/bin/busybox mount -t tmpfs -o mode=0755 volatile /upper
/bin/busybox mkdir /upper/upper /upper/work
/bin/busybox mount -t overlay -o lowerdir=$root,upperdir=/upper/upper,workdir=/upper/work overlay /new
/bin/busybox mount --move /dev /new/dev
/bin/busybox mount --move /sys /new/sys
/bin/busybox mount --move /proc /new/proc
exec /bin/busybox switch_root /new /sbin/init
