# shellcheck shell=sh
# In place of nix/debian/build/enter.sh, for the benchmark `confined`: the same script with the same tools, as root of this
# host, who sees all of the store and could leave the tree.
# shellcheck disable=SC2016,SC2154
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
work=$PWD
inside='
    set -eu
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
    hostname localhost
    exec chroot . /bin/bash -euo pipefail -c "cd /build; . \"$library\"; . \"$script\""
'
mkdir "$out"
memory=1073741824  # enough to build in memory, as the other side does
export memory work TMPDIR=/build TMP=/build TEMP=/build TEMPDIR=/build NIX_BUILD_TOP=/build HOME=/build LC_ALL=C.UTF-8 TZ=UTC
exec unshare --mount --pid --net --ipc --uts --fork --kill-child sh -c "$inside"
