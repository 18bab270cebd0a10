#!/usr/bin/env bash
# Makes Debian chroots with other versions of Nix, and with Guix, in .cache/chroots/SUITE: once, as root.
# Usage: chroots.sh [SUITE]...   trixie (Nix 2.26), forky (Nix 2.34), sid (Guix, Nix 2.34); by default all of them
set -euo pipefail
cd "$(dirname "$0")/../.."

common="busybox-static ca-certificates git"
declare -A packages=(
    [trixie]="nix-bin $common"
    [forky]="nix-bin $common"
    [sid]="guix nix-bin $common"
)

# The archive that this host's apt uses.
# shellcheck disable=SC2016
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)

mkdir -p .cache/chroots
exec 9>.cache/chroots/lock
flock 9
[ $# -gt 0 ] || set -- trixie forky sid
for suite in "$@"; do
    [ ! -d ".cache/chroots/$suite" ] || continue
    if [ -z "${packages[$suite]:-}" ]; then
        echo "unknown suite: $suite (known: ${!packages[*]})" >&2
        exit 2
    fi
    echo "== making the chroot of Debian $suite"
    rm -rf ".cache/chroots/$suite.new"
    # A mirror may serve a snapshot whose Release file has expired.
    mmdebstrap --quiet --mode=root --variant=minbase --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
        --aptopt='Acquire::Retries "3"' --aptopt='Acquire::Check-Valid-Until "false"' \
        --include="${packages[$suite]}" "$suite" ".cache/chroots/$suite.new" ${mirror:+"$mirror"}
    if [ "$suite" = sid ]; then
        # Who guix-daemon builds as.
        # shellcheck disable=SC2016
        chroot .cache/chroots/sid.new sh -euc '
            groupadd --system guixbuild
            for number in 1 2 3; do
                useradd --system --gid nogroup --groups guixbuild --home-dir /var/empty --shell /usr/sbin/nologin guixbuild$number
            done'
    fi
    mv ".cache/chroots/$suite.new" ".cache/chroots/$suite"
done
