#!/usr/bin/env bash
# Installs what is missing: Debian packages (bindep.txt) and virtual environments in .cache/venv, one per ansible-core.
# Usage: setup.sh demo   what it takes to build and run the demo
#        setup.sh test   also the tools of the gate, and every supported ansible-core
set -euo pipefail
cd "$(dirname "$0")/../.."
purpose=$1

. tests/tools/preflight.sh
# The newest ansible-core for each Python. The gate tests the ends of the supported range.
declare -A core=([3.13]=2.21 [3.12]=2.21 [3.11]=2.19)

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# install_packages PACKAGE...
install_packages() {
    local failed
    # Here sudo asks for a password, if it has to.
    as_root true || cannot "$purpose" "packages are missing, and sudo refuses to install them (above: why); as root: apt-get install $*"
    echo "== installing Debian packages: $*"
    local why="apt-get failed (above: why): its mirror must answer, and no other apt-get be at work"
    as_root apt-get update -q || cannot "$purpose" "$why"
    # A server that comes along (sshd, NFS, for the tests) must neither start now nor at the next boot.
    local policy=/usr/sbin/policy-rc.d
    [ -e $policy ] && policy=''
    if [ -n "$policy" ]; then
        trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT  # also of a script that is interrupted
        printf '#!/bin/sh\nexit 101\n' | as_root install -m 755 /dev/stdin $policy
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
        -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 "$@" || failed=$?
    [ -z "$policy" ] || as_root rm $policy
    trap - EXIT
    local package units
    while read -r package units; do
        [[ " $* " = *" $package "* ]] || continue
        # shellcheck disable=SC2086
        ! command -v systemctl >/dev/null || as_root systemctl --quiet disable $units
    done <<<$'openssh-server ssh.service\nnfs-ganesha-vfs nfs-ganesha.service\nrpcbind rpcbind.service rpcbind.socket'
    [ -z "${failed:-}" ] || cannot "$purpose" "$why"
}

# A virtual environment with the given requirements, renewed when these change: environment DIRECTORY PYTHON REQUIREMENT...
environment() {
    local directory=$1 python=$2 stamp=$1/.$purpose digest
    shift 2
    digest=$(echo "$@" | cat - requirements*.txt | sha256sum)
    [ "$digest" != "$(cat "$stamp" 2>/dev/null)" ] || return 0
    echo "== installing Python packages into $directory: $*"
    "$directory/bin/python" -c '' 2>/dev/null || "$python" -m venv --clear "$directory"
    "$directory/bin/python" -m pip install --quiet --disable-pip-version-check "$@" || cannot "$purpose" \
        "pip failed (above: why): the package index of Python must answer, or the one that 'pip config set global.index-url URL' names instead"
    echo "$digest" >"$stamp"
}

# Ansible finds a collection by its path only.
link_collection() {
    local link=.cache/collections/ansible_collections/immutable/compose
    [ "$(readlink -f "$link")" != "$PWD" ] || return 0
    mkdir -p "$(dirname "$link")"
    ln -sfn ../../../.. "$link"
}

missing=$(missing_packages "$purpose")
preflight "$purpose" "$missing"
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086
    install_packages $missing
    preflight "$purpose" ''  # for what came with them
fi
[ -d /nix/store ] || as_root install -d -m 755 /nix /nix/store  # where users who are not root mount their own
link_collection
# The environments are made next to each other.
read -ra versions <<<"$(pythons "$purpose")"
installing=()
found=()
for version in "${versions[@]}"; do
    if ! python=$(tests/tools/interpreter.sh "$version"); then
        [ "$purpose" = demo ] || echo "== NOT TESTED: ansible-core ${core[$version]}, because there is no Python $version here"
        continue
    fi
    found+=("$version")
    requirements=("ansible-core~=${core[$version]}.0" -r requirements.txt)
    if [ "$purpose" = demo ]; then
        environment ".cache/venv/$version" "$python" "${requirements[@]}"
        break
    fi
    requirements+=(-r requirements-test.txt)
    if [ ${#found[@]} = 1 ]; then
        requirements+=(-r requirements-dev.txt)
        # What the interchange with NixOS Compose is tested with.
        environment .cache/venv/nxc "$python" 'nixos-compose==0.7.11' &
        installing+=($!)
        # galaxy-importer pins versions that do not go together with the other tools.
        environment .cache/venv/importer "$python" 'galaxy-importer~=0.4.44' &
        installing+=($!)
    fi
    environment ".cache/venv/$version" "$python" "${requirements[@]}" &
    installing+=($!)
done
for process in "${installing[@]}"; do
    wait "$process"
done
if [ "$purpose" = test ] && [ "${CI:-}" = true ] && [ ${#found[@]} -lt ${#versions[@]} ]; then
    echo "CI must test every supported ansible-core" >&2
    exit 1
fi
