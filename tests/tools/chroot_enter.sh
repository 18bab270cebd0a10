#!/usr/bin/env bash
# Runs a command in a chroot of chroots.sh, with mounts and processes of its own: chroot_enter.sh SUITE COMMAND...
#   SHARE="DIRECTORY..."  directories of this host that it sees in their own place
#   NETWORK=none          no network but the loopback interface; `dead`: also an interface that leads nowhere, without which
#                         `nix build` switches every cache off
# The new root is made by pivot_root: in a plain chroot the kernel refuses user namespaces, and with them Nix's sandbox.
set -euo pipefail
root=$(readlink -f "$(dirname "$0")/../../.cache/chroots/$1")
shift
namespaces=(--mount --pid --fork --kill-child)
[ -z "${NETWORK:-}" ] || namespaces+=(--net)

export ROOT=$root SHARE=${SHARE:-} NETWORK=${NETWORK:-} HERE=$PWD
# shellcheck disable=SC2016
exec unshare "${namespaces[@]}" --propagation private bash -euc '
    mount --rbind "$ROOT" "$ROOT"
    if [ -n "$NETWORK" ]; then ip link set lo up; fi
    if [ "$NETWORK" = dead ]; then
        ip link add dead type veth peer name end
        ip address add 192.0.2.1/24 dev dead
        ip link set dead up
        ip link set end up
    fi
    mkdir -p "$ROOT"/.old
    mount -t proc proc "$ROOT"/proc
    mount --rbind /dev "$ROOT"/dev
    mount -t sysfs sysfs "$ROOT"/sys || true
    for directory in $SHARE; do
        mkdir -p "$ROOT$directory"
        mount --rbind "$directory" "$ROOT$directory"
    done
    cd "$ROOT"
    pivot_root . .old
    umount -l /.old
    cd "$HERE" 2>/dev/null || cd /
    unset ROOT SHARE NETWORK HERE
    export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
    exec "$@"
' chroot_enter "$@"
