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
    say confirmed "$(cat /run/compose/confirmed 2>/dev/null)"
    say interfaces "$(jq -c .interfaces /run/compose/node.json)"
    exit
fi
for program in kexec ip; do say program "$(command -v $program)"; done
if [ "$(cat /proc/sys/kernel/kexec_load_disabled 2>/dev/null)" = 1 ]; then say disabled yes; fi
say available "$(sed -n 's/^MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo)"
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

#: Arguments: identity, length of the staged initramfs, kernel command line. What is of the node comes behind that.
BOOT = (
    _PATH
    + f"""
set -eu
umask 077
cd {STAGING}
truncate -s "$2" "$1.system"  # a run may have been killed here
cat >> "$1.system"
# The kernel's own loader takes signed kernels where no others are allowed; older kernels have only the other one.
kexec -s -l "$1.kernel" --initrd="$1.system" --command-line="$3" 2>/dev/null ||
    kexec -l "$1.kernel" --initrd="$1.system" --command-line="$3"
cd /
umount -l {STAGING}
if [ -d /run/systemd/system ]; then
    systemctl kexec
else
    sync
    (sleep 1; exec kexec -e) </dev/null >/dev/null 2>&1 &
fi
"""
)

#: Back to what the disk has.
LEAVE = "systemctl reboot"

#: Argument: number of a release. From now on the system stays.
CONFIRM = """
set -eu
echo "$1" > /run/compose/.confirmed
mv /run/compose/.confirmed /run/compose/confirmed
"""
