#!/bin/busybox sh
# shellcheck shell=dash
# First process of a machine whose root file system was unpacked to a partition: finds that, which nothing ever writes to,
# puts a volatile layer on top, starts it.
/bin/busybox mkdir -p /proc /sys /dev /lower /upper /new
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys

read -r identity < /identity

for list in first second third; do
    while read -r module; do
        /bin/busybox insmod "/modules/$module" 2>/dev/null
    done < "/$list"
done

# named NAME: the partition with this name in its table
named() {
    for event in /sys/class/block/*/uevent; do
        /bin/busybox grep -q "^PARTNAME=$1\$" "$event" || continue
        device=${event%/uevent}
        echo "/dev/${device##*/}"
        return 0
    done
    return 1
}

# What the kernel's parameter root= of the deployer means; nothing if there is none, or no such device yet.
wanted() {
    case $parameter in
        "") named KDPL_DEPLOY_disk0 ;;
        UUID=* | LABEL=*) /bin/busybox findfs "$parameter" 2>/dev/null ;;
        PARTLABEL=*) named "${parameter#PARTLABEL=}" ;;
        /dev/disk/by-uuid/*) /bin/busybox findfs "UUID=${parameter##*/}" 2>/dev/null ;;
        /dev/disk/by-label/*) /bin/busybox findfs "LABEL=${parameter##*/}" 2>/dev/null ;;
        /dev/disk/by-partlabel/*) named "${parameter##*/}" ;;
        *) echo "$parameter" ;;
    esac
}

# Whether a device has the root file system meant: another partition may carry an older one.
try() {
    [ -b "$1" ] && /bin/busybox mount -t ext4 -o ro "$1" /lower 2>/dev/null || return 1
    if [ -e /lower/usr/lib/compose/identity ]; then
        read -r other < /lower/usr/lib/compose/identity
        [ "$other" = "$identity" ] && return 0
    fi
    /bin/busybox umount /lower
    return 1
}

# The device that is named has ten seconds to appear, for others may have the same image and the document of former times.
# Then any will do: what a disk is called may have changed since the image was unpacked.
find_root() {
    parameter=
    for word in $(/bin/busybox cat /proc/cmdline); do
        case $word in root=*) parameter=${word#root=} ;; esac
    done
    for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
        try "$(wanted)" && return 0
        if [ "$round" -gt 20 ]; then
            while read -r _ _ _ name; do
                try "/dev/$name" && return 0
            done < /proc/partitions
        fi
        /bin/busybox sleep 0.5
    done
    return 1
}

if ! find_root; then
    echo "no partition holds the root file system $identity (root=$parameter); disks:" > /dev/console
    /bin/busybox cat /proc/partitions > /dev/console
    /bin/busybox sleep 5
    exit 1
fi
/bin/busybox mount -t tmpfs -o mode=0755 volatile /upper
/bin/busybox mkdir /upper/upper /upper/work
/bin/busybox mount -t overlay -o lowerdir=/lower,upperdir=/upper/upper,workdir=/upper/work overlay /new
/bin/busybox mount --move /dev /new/dev
/bin/busybox mount --move /sys /new/sys
/bin/busybox mount --move /proc /new/proc
exec /bin/busybox switch_root /new /sbin/init
