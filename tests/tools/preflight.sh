# shellcheck shell=bash
# What is looked at before anything is installed, for whoever is here for the first time. Sourced by setup.sh and demo.sh.

# The Debian packages of the demo that have programs → one of these. Where there is no dpkg, the program is looked for.
declare -A program=(
    [busybox-static]=busybox [cpio]=cpio [git]=git [iproute2]=ip [kmod]=modprobe [mmdebstrap]=mmdebstrap
    [netcat-openbsd]=nc [nix-bin]=nix-store [openssh-client]=ssh [podman]=podman [qemu-system-x86]=qemu-system-x86_64
    [qemu-utils]=qemu-img [rsync]=rsync [runc]=runc [socat]=socat [squashfs-tools]=unsquashfs [systemd-container]=systemd-nspawn
    [uidmap]=newuidmap
)

# has_environment: whether Ansible was installed here
has_environment() {
    compgen -G '.cache/venv/3.*/.demo' >/dev/null || compgen -G '.cache/venv/3.*/.test' >/dev/null
}

# pythons PURPOSE: versions of Python, the best first
pythons() {
    case $1 in demo) echo 3.13 3.12 3.11 ;; test) echo 3.13 3.11 ;; esac
}

# missing_packages PURPOSE: Debian packages of bindep.txt that are not here
missing_packages() {
    local wanted package
    mapfile -t wanted < <(grep platform:dpkg bindep.txt | if [ "$1" = test ]; then cat; else grep -v '\[test '; fi | cut -d ' ' -f 1)
    if command -v dpkg-query >/dev/null; then
        printf '%s\n' "${wanted[@]}" | grep -vxF -f <(
            dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null | sed -n 's/^installed //p') || true
    else
        for package in "${wanted[@]}"; do
            [ -z "${program[$package]:-}" ] || command -v "${program[$package]}" >/dev/null || echo "$package"
        done
    fi | tr '\n' ' ' | sed 's/ $//'
}

# without_room MIB DIRECTORY: says what is wrong if less is free there
without_room() {
    local available
    available=$(df --output=avail --block-size=1M "$2" | tail -n 1 | tr -d ' ')
    [ "$available" -ge "$1" ] ||
        echo "the file system of $2 has $available MiB free, $1 MiB are needed: make room there"
}

# first_python VERSION...: the first of them that is here and makes virtual environments
first_python() {
    local version
    for version in "$@"; do
        tests/tools/interpreter.sh "$version" && return
    done
    return 1
}

# cannot PURPOSE PROBLEM: says why nothing is done, and fails
cannot() {
    printf 'make %s cannot go on:\n- %s\n' "$1" "${2//$'\n'/$'\n- '}" >&2
    return 1
}

# preflight PURPOSE MISSING: says all that is wrong at once, and fails
preflight() {
    local missing=$2 found=() problems name versions
    local ID='' VERSION_ID='' PRETTY_NAME='an unknown system'
    # shellcheck disable=SC1091
    . /etc/os-release
    name=$PRETTY_NAME
    read -ra versions <<<"$(pythons "$1")"
    case $ID:$VERSION_ID in
        debian:? | debian:10 | debian:11 | ubuntu:1?.* | ubuntu:2[0-3].*)
            found+=("this is $name, whose Nix and Python are too old: Debian 12 or Ubuntu 24.04 is needed, or newer") ;;
    esac
    if [ -z "$missing" ]; then
        :
    elif ! command -v apt-get >/dev/null; then
        found+=("this is $name, which has no apt-get: install what is in these packages of Debian, by whatever names it has here: $missing")
    elif [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
        found+=("packages are missing, and there is no sudo here with which to install them; as root: apt-get install $missing")
    fi
    [ "$ID" = debian ] || grep -qrs debian /etc/apt/sources.list /etc/apt/sources.list.d ||
        found+=("this is $name, and apt has no archive of Debian here, of which images are built: write one into /etc/apt/sources.list.d, component main, or do this on Debian 12 or newer")
    [ -d /nix/store ] || [ "$(id -u)" = 0 ] || command -v sudo >/dev/null ||
        found+=("there is no /nix/store, where Nix builds, and no sudo here with which to make it; as root: install -d -m 755 /nix /nix/store")
    # What images need is looked at before they are built, for it follows from their packages.
    [ -z "$missing" ] || found+=("$(without_room 1500 /usr)")
    has_environment || found+=("$(without_room 500 "$PWD")")
    # What comes with the packages need not be there yet.
    if ! first_python "${versions[@]}" >/dev/null && ! { [[ " $missing " = *' python3-venv '* ]] && command -v apt-get >/dev/null; }; then
        found+=("no Python ${versions[*]} here makes virtual environments: install one of them, with its module venv")
    fi
    problems=$(printf '%s\n' "${found[@]}" | sed '/^$/d')
    [ -z "$problems" ] || cannot "$1" "$problems"
}
