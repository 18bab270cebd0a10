# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is run on machines, as root, by a POSIX shell. PRIVATE to the collection.

Files come on standard input; arguments, which others on the machine can see, hold no secret. The first argument is
always the name that all things of a deployment have: its directory, its network namespace, the beginning of its units.
"""

from __future__ import annotations

from ...images.layers import PACKAGES as _LOWER
from ...images.layers import ROLE as _UPPER

#: Where machines have images and nodes: memory, which a machine that boots again has forgotten as it has its nodes.
PLACE = "/run/immutable.compose"
#: Names in the network namespace of a deployment.
BRIDGE, TUNNEL = "compose0", "vxlan0"
#: What is needed on a machine → the Debian package that has it.
PACKAGES = {
    "systemd-nspawn": "systemd-container",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "ip": "iproute2",
    "bridge": "iproute2",
    "nc": "netcat-openbsd",
    "unsquashfs": "squashfs-tools",
}

_BEGIN = f"""\
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL=C.UTF-8
name=$1 place={PLACE}/$1
shift
umask 077
# Process id of the init of a node: the child of its unit that is another program, and has not ended.
init() {{
    pid=$(systemctl show --property=MainPID --value "$name-$1.service")
    for child in $(cat "/proc/${{pid:-0}}/task/${{pid:-0}}/children" 2>/dev/null); do
        exe=$(readlink "/proc/$child/exe") && [ "$exe" != "$(readlink "/proc/$pid/exe")" ] && echo "$child"
    done
}}
"""

#: What is there: one fact per line, ``KEY VALUE``.
LOOK = (
    _BEGIN
    + """
say() { [ -z "$2" ] || printf '%s %s\\n' "$1" "$2"; }
say architecture "$(uname -m)"
say total "$(sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo)"
say available "$(sed -n 's/^MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo)"
say free "$(($(stat -f -c '%a * %S / 1024' /run)))"
if [ -e /dev/loop-control ] && grep -qw squashfs /proc/filesystems; then say mounts yes; fi
if [ -d "$place" ] || [ -e "/run/netns/$name" ]; then say there yes; fi
for image in "$place"/images/*/root; do
    image=${image%/root}
    [ ! -e "$image/root" ] || say staged "${image##*/}"
done
for node in "$place"/nodes/*/identity; do
    node=${node%/identity} node=${node##*/}
    [ "$node" = "*" ] || [ -z "$(init "$node")" ] || say node "$node $(cat "$place/nodes/$node/identity")"
done
"""
)

#: The same, and what is not there that is needed. What a kernel can do is tried, in a namespace that is gone at once.
NEEDS = (
    LOOK
    + """
[ -d /run/systemd/system ] || say lacks systemd
for program in systemd-nspawn nsenter unshare ip bridge nc; do
    [ -n "$(command -v $program)" ] || say lacks $program
done
[ -e /dev/loop-control ] && grep -qw squashfs /proc/filesystems || [ -n "$(command -v unsquashfs)" ] ||
    say lacks unsquashfs
for kind in 'vxlan id 1 dstport 4789' bridge 'veth peer name other'; do
    unshare --net ip link add one type $kind 2>/dev/null || say lacks "kernel:${kind%% *}"
done
grep -qw overlay /proc/filesystems || modprobe -q overlay || say lacks kernel:overlay
"""
)

#: The network of the deployment on this machine: a bridge for its nodes, and a tunnel to the other machines. Called
#: again, it brings it up to date. Standard input: :data:`WAY`. Arguments: number of the network, address of the
#: machine, those of the others.
NETWORK = (
    _BEGIN
    + f"""
set -e
id=$1 own=$2
shift 2
mkdir -p "$place"
cat >"$place/way.new"
mv "$place/way.new" "$place/way"
if ! ip -n "$name" link show lo >/dev/null 2>&1; then
    [ ! -e "/run/netns/$name" ] || ip netns delete "$name"
    ip netns add "$name"
fi
ip -n "$name" link show {BRIDGE} >/dev/null 2>&1 || ip -n "$name" link add {BRIDGE} type bridge
if ! ip -n "$name" link show {TUNNEL} >/dev/null 2>&1; then
    ip link delete "compose$id" 2>/dev/null || true  # a run may have been killed here
    # Nodes have the usual MTU, so packets may be longer than the machines' network takes: those the kernel divides.
    ip link add "compose$id" mtu 1500 type vxlan id "$id" local "$own" dstport 4789
    ip link set "compose$id" netns "$name" name {TUNNEL}
fi
ip -n "$name" link set lo up
ip -n "$name" link set {BRIDGE} up
ip -n "$name" link set {TUNNEL} master {BRIDGE} up
there=$(bridge -n "$name" fdb show dev {TUNNEL} | sed -n 's/^00:00:00:00:00:00 .*dst \\([0-9.]*\\).*/\\1/p')
for other in $there; do
    case " $* " in *" $other "*) ;; *) bridge -n "$name" fdb delete 00:00:00:00:00:00 dev {TUNNEL} dst "$other" ;; esac
done
for other; do
    case " $(echo $there) " in
        *" $other "*) ;;
        *) bridge -n "$name" fdb append 00:00:00:00:00:00 dev {TUNNEL} dst "$other" ;;
    esac
done
"""
)

#: Where network devices are, is learned anew. Arguments: their addresses.
FORGET = (
    _BEGIN
    + f"""
for address; do
    for table in master self; do bridge -n "$name" fdb delete "$address" dev {TUNNEL} $table 2>/dev/null; done
done
exit 0
"""
)

#: Standard input: the squashfs. Arguments: identity, length. Mounted, or unpacked where it cannot be mounted.
STAGE = (
    _BEGIN
    + f"""
set -e
image=$place/images/$1
if [ -e "$image" ]; then
    for mounted in joined tree; do umount "$image/$mounted" 2>/dev/null || true; done
    rm -rf "$image"
fi
mkdir -p "$image/tree"
chmod 755 "$image/tree"
cat >"$image/squashfs"
length=$(wc -c <"$image/squashfs")
if [ "$length" -ne "$2" ]; then
    echo "only $length bytes of $2 arrived" >&2
    exit 1
fi
if ! mount -t squashfs -o loop,ro "$image/squashfs" "$image/tree" 2>/dev/null; then
    unsquashfs -no-progress -force -dest "$image/tree" "$image/squashfs" >/dev/null
    rm "$image/squashfs"
fi
root=tree
if [ -d "$image/tree/{_UPPER}" ] && [ -d "$image/tree/{_LOWER}" ]; then
    root=joined
    mkdir "$image/joined"
    mount -t overlay -o "ro,lowerdir=$image/tree/{_UPPER}:$image/tree/{_LOWER}" overlay "$image/joined"
fi
ln -s "$root" "$image/root"
"""
)

#: Standard input: the node document. Arguments: node, identity of its image, its UUID, address of its network device,
#: seconds to stop in good order. Returns once its init runs.
START = (
    _BEGIN
    + f"""
node=$1 identity=$2 unit=$name-$1.service
root=$(readlink -f "$place/images/$2/root") || exit
mkdir -p "$place/nodes/$node/in" && cat >"$place/nodes/$node/in/node.json" || exit
printf '%s\\n' "$identity" >"$place/nodes/$node/identity"
systemd-run --quiet --collect --unit="$unit" --slice=machine.slice --property=Delegate=yes --property=KillMode=mixed \\
    --property=TimeoutStopSec="$5" --property=RestartForceExitStatus=133 --property=SuccessExitStatus=133 -- \\
    nsenter --net="/run/netns/$name" systemd-nspawn --boot --quiet --keep-unit --register=no --settings=no \\
    --machine="$node" --uuid="$3" --directory="$root" --read-only --volatile=overlay --network-bridge={BRIDGE} \\
    --resolv-conf=off --timezone=off --link-journal=no --console=read-only \\
    --bind-ro="$place/nodes/$node/in:/run/compose/in" || exit
tries=0
while systemctl --quiet is-active "$unit" && [ $((tries += 1)) -lt 400 ]; do
    child=$(init "$node" | head -n 1)
    if [ -n "$child" ]; then exec nsenter --net="/proc/$child/ns/net" ip link set dev host0 address "$4"; fi
    sleep 0.05
done
echo "it has not started:" >&2
journalctl --quiet --no-pager --output=cat --lines=5 --unit="$unit" >&2
exit 1
"""
)

#: Standard input: the node document, for when the node boots again by itself. Argument: node.
KEEP = (
    _BEGIN
    + """
cd "$place/nodes/$1/in" && cat >node.json.new && mv node.json.new node.json
"""
)

#: Arguments: node, and ``hard`` as if its power was cut. Says what it did.
STOP = (
    _BEGIN
    + """
unit=$name-$1.service
if systemctl --quiet is-active "$unit"; then
    echo stopped
    [ "$2" != hard ] || systemctl kill --signal=KILL "$unit"
    systemctl stop "$unit" || exit
fi
tries=0  # systemd forgets it when it has nothing else to do, and starts none of that name before
while [ "$(systemctl show --property=LoadState --value "$unit")" != not-found ] && [ $((tries += 1)) -lt 100 ]; do
    systemctl --quiet reset-failed "$unit" 2>/dev/null
    sleep 0.05
done
if [ -e "$place/nodes/$1" ]; then
    echo forgot
    rm -rf "$place/nodes/$1"
fi
"""
)

#: Arguments: node, how many lines of its console.
CONSOLE = (
    _BEGIN
    + """
exec journalctl --quiet --no-pager --output=cat --lines="$2" --unit="$name-$1.service"
"""
)

#: Becomes a way to the SSH server of a node, for who is on its machine: the bridge has no address. Argument: node.
WAY = (
    _BEGIN
    + """
exec nsenter --net="/proc/$(init "$1" | head -n 1)/ns/net" nc 127.0.0.1 22
"""
)

#: Arguments: identities of images to keep; none: nothing of the deployment stays, unless a node runs. Says what it did.
TIDY = (
    _BEGIN
    + """
for image in "$place"/images/*; do
    case " $* " in *" ${image##*/} "*) continue ;; esac
    [ -e "$image" ] || continue
    echo "image ${image##*/}"
    for mounted in joined tree; do umount "$image/$mounted" 2>/dev/null; done
    rm -rf "$image" || exit
done
[ $# = 0 ] || exit 0
if [ -e "/run/netns/$name" ]; then
    echo network
    ip netns delete "$name" || exit
fi
if [ -d "$place" ]; then
    echo directory
    rm -rf "$place" && rmdir --ignore-fail-on-non-empty "${place%/*}"
fi
"""
)
