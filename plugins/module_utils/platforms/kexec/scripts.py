# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is run on machines, as root, by a POSIX shell. PRIVATE to the collection.

Files come on standard input; arguments, which others on the machine can see, hold no secret.
"""

from __future__ import annotations

#: Where images are before they are started: memory, not a disk.
STAGING = "/run/immutable.compose"

_PATH = "PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin\n"

#: What runs: one fact per line, ``KEY VALUE``.
ASK = (
    _PATH
    + f"""
say() {{ [ -z "$2" ] || printf '%s %s\\n' "$1" "$2"; }}
say boot "$(cat /proc/sys/kernel/random/boot_id)"
say architecture "$(uname -m)"
in=/run/compose/in
if [ -e $in/owner ]; then
    say owner "$(cat $in/owner)"
    say identity "$(cat /usr/lib/compose/identity)"
    if [ -e /run/compose/confirmed ]; then say confirmed yes; fi
    say interfaces "$(jq -c .interfaces /run/compose/node.json)"
    say memory "$(sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo)"
    exit
fi
for program in kexec ip; do say program "$(command -v $program)"; done
if [ "$(cat /proc/sys/kernel/kexec_load_disabled 2>/dev/null)" = 1 ]; then say disabled yes; fi
say lockdown "$(sed -n 's/.*\\[\\(.*\\)\\].*/\\1/p' /sys/kernel/security/lockdown 2>/dev/null)"
say memory "$(sed -n 's/^MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo)"
for file in {STAGING}/*.system; do [ ! -e "$file" ] || say staged "$(basename "$file" .system)"; done
ip -o -4 address show scope global 2>/dev/null | while read -r _ name _ address _; do
    say address "$name $address"
    [ ! -e /sys/class/net/$name/device ] || say mac "$name $(cat /sys/class/net/$name/address)"
done
ip -4 route show default 2>/dev/null | while read -r _ _ gateway _ name _; do say gateway "$name $gateway"; done
for file in /run/systemd/resolve/resolv.conf /etc/resolv.conf; do
    if [ -e $file ]; then
        sed -n 's/^nameserver *\\([0-9.]*\\) *$/dns \\1/p' $file
        break
    fi
done
"""
)

#: Arguments: the name of a file, its length. An image that was staged before, and not started, gives way.
KEEP = f"""
set -eu
umask 077
grep -q ' {STAGING} ' /proc/mounts || {{ mkdir -p {STAGING}; mount -t tmpfs -o mode=0700,size=100% compose {STAGING}; }}
cd {STAGING}
for file in *; do
    case $file in "${{1%.*}}".*) ;; *) rm -f "$file" ;; esac
done
cat > "$1.new"
length=$(wc -c < "$1.new")
if [ "$length" -ne "$2" ]; then
    echo "only $length bytes of $2 arrived" >&2
    exit 1
fi
mv "$1.new" "$1"
"""

#: Arguments: address of a server, what it exports, a file there that must be, how it is mounted. Without the helpers of
#: ``nfs-common``.
REACH = (
    _PATH
    + """
set -eu
there=$(mktemp -d /run/compose-nfs.XXXXXX)
trap 'umount -l "$there" 2>/dev/null || true; rmdir "$there" 2>/dev/null || true' EXIT
timeout 60 mount -i -t nfs -o "soft,timeo=50,retrans=1,addr=$1,$4" "$1:$2" "$there" || {
    code=$?
    [ $code -ne 124 ] || echo "$1 does not answer" >&2
    exit $code
}
if [ ! -e "$there/$3" ]; then
    echo "it is not there: is nfs_dir the directory that $1 exports as $2?" >&2
    exit 1
fi
head -c 1 "$there/$3" >/dev/null
"""
)

# The kernel's own loader takes signed kernels where no others are allowed; older kernels have only the other one.
_LOAD = """
load() {
    kexec -s -l "$1.kernel" --initrd="$1.system" --command-line="$2" 2>/dev/null ||
        kexec -l "$1.kernel" --initrd="$1.system" --command-line="$2"
}
"""

#: Arguments: name, kernel command line. Whether the kernel would take what is staged; nothing stays of that.
REHEARSE = (
    _PATH
    + _LOAD
    + f"""
set -eu
cd {STAGING}
load "$1" "$2" || exit 1
kexec -s -u 2>/dev/null || kexec -u
"""
)

#: Arguments: name, kernel command line, length of the staged initramfs. What is of the node comes behind that.
BOOT = (
    _PATH
    + _LOAD
    + f"""
set -eu
umask 077
cd {STAGING}
truncate -s "$3" "$1.system"  # a run may have been killed here
cat >> "$1.system"
load "$1" "$2" || exit 1  # kexec ends with 255, as ssh does where nobody is reached
cd /
umount -l {STAGING}
if [ -d /run/systemd/system ]; then
    systemctl kexec
else
    sync
    (sleep 1; echo u > /proc/sysrq-trigger; exec kexec -e) </dev/null >/dev/null 2>&1 &
fi
"""
)

#: What was staged is not needed.
DROP = f"if grep -q ' {STAGING} ' /proc/mounts; then umount -l {STAGING}; fi; rm -rf {STAGING}"

#: Back to what the disk has.
LEAVE = "systemctl reboot"

#: From now on the system stays.
CONFIRM = ": > /run/compose/confirmed"

#: First process of a system that another Linux started: its root file system came along or is on a server, and no disk
#: is looked at.
#: Programs and modules are those of the builder ``debian`` (nix/debian/build/role.sh). The dead man's switch takes the
#: machine back to what its disk has unless somebody confirms the system in time. It is no unit, and needs neither files
#: nor programs: the system cannot stop it by mistake.
INIT = rb"""#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /lower /upper /new
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys

for list in first second; do
    while read -r module; do
        /bin/busybox insmod "/modules/$module" 2>/dev/null
    done < "/$list"
done

fail() {
    echo "compose: $1: back to the disk" > /dev/console
    /bin/busybox sleep 5
    exit 1
}

dead_man() {
    read -r left < /kexec/deadline
    while [ "$left" -gt 0 ]; do
        if [ -e confirmed ]; then
            echo V >&6  # the watchdog, too, may rest
            exit
        fi
        echo >&6
        read -r -t 2 _ <&3  # nobody writes there: a clock
        left=$((left - 2))
    done
    echo "<2>compose: nobody confirmed this system in time: back to the disk" >&5
    echo s >&4
    echo u >&4
    read -r -t 2 _ <&3
    echo b >&4
}

# Until the dead man's switch is armed: a server may hang whatever asks it.
guard() {
    read -r left < /kexec/deadline
    read -r -t "$left" _ <&3
    echo b > /proc/sysrq-trigger
}

# A link comes up when it likes, and so does a server.
mount_nfs() {
    for alias in /sys/bus/*/devices/*/modalias; do
        read -r name < "$alias" && /bin/busybox modprobe -q "$name" 2>/dev/null
    done
    /bin/busybox modprobe -q nfsv3
    /bin/busybox mkdir /nfs
    read -r server path file how < /kexec/nfs
    for attempt in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        while read -r mac address gateway; do
            for device in /sys/class/net/*; do
                read -r has < "$device/address"
                [ "$has" = "$mac" ] || continue
                /bin/busybox ip address add "$address" dev "${device##*/}" 2>/dev/null
                /bin/busybox ip link set "${device##*/}" up
                # As networkd has it: what it does not know it removes.
                [ -z "$gateway" ] || /bin/busybox ip route add default via "$gateway" protocol static 2>/dev/null
            done
        done < /kexec/interfaces
        /bin/busybox mount -t nfs -o "addr=$server,$how" "$server:$path" /nfs && return
        /bin/busybox sleep 2
    done
    fail "$server:$path cannot be mounted"
}

arm() {
    # Where the kernel itself hangs, only a watchdog helps.
    for module in wdat_wdt iTCO_wdt i6300esb softdog; do
        [ ! -c /dev/watchdog ] || break
        /bin/busybox chroot /new /sbin/modprobe --quiet "$module" 2>/dev/null
    done
    watchdog=/dev/null
    [ ! -c /dev/watchdog ] || watchdog=/dev/watchdog
    # Opened now: no path leads there once the system runs.
    cd /new/run/compose || fail "no /run"
    exec 3<>/kexec/clock 4>/proc/sysrq-trigger 5>/dev/kmsg 6>$watchdog
    dead_man &
    exec 3>&- 4>&- 5>&- 6>&-
    cd /
}

/bin/busybox mkfifo /kexec/clock
root=/kexec/root.squashfs guard=
if [ -e /kexec/nfs ]; then
    guard 3<>/kexec/clock &
    guard=$!
    mount_nfs
    root=/nfs/$file
fi
/bin/busybox mount -t squashfs -o ro,loop "$root" /lower || fail "no root file system at $root"
lower=/lower
[ ! -d /lower/role ] || [ ! -d /lower/packages ] || lower=/lower/role:/lower/packages
/bin/busybox mount -t tmpfs -o mode=0755 volatile /upper
/bin/busybox mkdir /upper/upper /upper/work
/bin/busybox mount -t overlay -o lowerdir=$lower,upperdir=/upper/upper,workdir=/upper/work overlay /new ||
    fail "no overlay over the root file system"
# Where it is a link, a resolver of the role writes it.
if [ -e /kexec/resolv.conf ] && [ ! -L /new/etc/resolv.conf ]; then
    /bin/busybox cat /kexec/resolv.conf > /new/etc/resolv.conf
fi
/bin/busybox mount -t tmpfs -o mode=0755,nosuid,nodev run /new/run
/bin/busybox mkdir /new/run/compose
/bin/busybox mv /kexec/in /new/run/compose/in
arm
[ -z "$guard" ] || kill "$guard"
/bin/busybox mount --move /dev /new/dev
/bin/busybox mount --move /sys /new/sys
/bin/busybox mount --move /proc /new/proc
exec /bin/busybox switch_root /new /sbin/init
"""
