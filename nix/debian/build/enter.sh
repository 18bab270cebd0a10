# shellcheck shell=sh
# Runs $script in the tree $tools, with the build's directory at /build: no other file of this host, no network.
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

work=$PWD
[ "$(id -u)" = 0 ] || { echo "the debian builder has to run as root (it mounts file systems)" >&2; exit 1; }

inside='
    set -eu
    mount --make-rprivate /
    mkdir "$work/.tools"
    mount --bind "$tools" "$work/.tools"
    cd "$work/.tools"
    mount -o remount,bind,ro .
    mount --bind "$work" build
    mount --bind "$NIX_STORE" ".$NIX_STORE"
    mount -t tmpfs tmpfs tmp
    mount -t proc proc proc
    mount -t tmpfs -o mode=0755 tmpfs dev
    for device in null zero full random urandom tty; do
        : > "dev/$device"
        mount --bind "/dev/$device" "dev/$device"
    done
    ln -s /proc/self/fd dev/fd
    exec chroot . /bin/bash -euo pipefail -c "cd /build; . \"$library\"; . \"$script\""
'
export work TMPDIR=/build TMP=/build TEMP=/build TEMPDIR=/build NIX_BUILD_TOP=/build HOME=/build LC_ALL=C.UTF-8 TZ=UTC
exec unshare --mount --pid --net --ipc --uts --fork --kill-child sh -c "$inside"
