#!/usr/bin/env bash
# Runs a command, as root, on a host that seems to have Guix: with_guix.sh COMMAND...
# `guix` enters the chroot `sid` of chroots.sh; its store is /gnu/store here as well; a daemon of its own runs meanwhile. It
# knows no servers for substitutes. The command sees this host's files, Guix those below /tmp and this directory.
set -euo pipefail
here=$(readlink -f "$(dirname "$0")/../..")
root=$here/.cache/chroots/sid

if [ "${1:-}" != --inside ]; then
    exec 9>"$root.lock"
    flock 9
    mkdir -p /gnu /var/guix
    code=0
    unshare --mount --propagation private "$0" --inside "$@" || code=$?
    rmdir --ignore-fail-on-non-empty /gnu /var/guix
    exit "$code"
fi
shift

run=$(mktemp -d /tmp/with-guix-XXXXXX)
daemon=''
end() {
    # A process that made namespaces heeds no other signal.
    [ -z "$daemon" ] || kill -KILL "$daemon"
    rm -rf "$run"
}
trap end EXIT

mkdir -p "$root/gnu" "$root/var/guix" "$run/bin"
mount --bind "$root/gnu" /gnu
mount --bind "$root/var/guix" /var/guix
cat >"$run/bin/guix" <<END
#!/bin/sh
SHARE="/tmp $here" HOME=/root exec $here/tests/tools/chroot_enter.sh sid guix "\$@"
END
chmod +x "$run/bin/guix"

export GUIX_DAEMON_SOCKET=$run/socket
SHARE="/tmp $here" "$here/tests/tools/chroot_enter.sh" sid \
    guix-daemon --build-users-group=guixbuild --substitute-urls= --listen="$GUIX_DAEMON_SOCKET" >"$run/log" 2>&1 9>&- &
daemon=$!
disown
for _ in $(seq 50); do
    [ ! -S "$GUIX_DAEMON_SOCKET" ] || break
    sleep 0.1
done
if [ ! -S "$GUIX_DAEMON_SOCKET" ]; then
    cat "$run/log" >&2
    exit 1
fi
PATH=$run/bin:$PATH "$@" 9>&-
