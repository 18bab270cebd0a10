#!/usr/bin/env bash
# Runs a command with the Nix of a chroot of chroots.sh instead of this host's: with_nix.sh SUITE COMMAND...
# Only the program is another: store, configuration and files are those of this host.
set -euo pipefail
root=$(readlink -f "$(dirname "$0")/../../.cache/chroots/$1")
shift
shims=$root.bin
mkdir -p "$shims"
for program in nix nix-build nix-collect-garbage nix-daemon nix-instantiate nix-store; do
    # The chroot's own dynamic linker, for its libraries may be newer. What Nix would start by its own path is the shim, too.
    cat >"$shims/$program.$$" <<END
#!/bin/sh
export NIX_CONFIG="\$NIX_CONFIG
build-hook = $shims/nix __build-remote
sandbox-paths ="
exec $root/lib64/ld-linux-x86-64.so.2 --library-path $root/usr/lib/x86_64-linux-gnu --argv0 $program $root/usr/bin/nix "\$@"
END
    chmod +x "$shims/$program.$$"
    mv "$shims/$program.$$" "$shims/$program"  # another run may be starting it
done
PATH=$shims:$PATH exec "$@"
