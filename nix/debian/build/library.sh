# Functions of the build scripts. They run as root in the tools' tree; the root file system being made is /build/root.

root=/build/root

# What the build does now, for whoever watches it; Nix passes this on.
phase() {
    printf '@nix {"action":"setPhase","phase":"%s"}\n' "$*" >&2
}

# Creates the root file system, empty, for what is made of these files: in memory if there is enough, else as one that waits
# for no disk, if the kernel can (dpkg asks it to, often).
make_root() {
    mkdir -m 0755 $root
    [ -z "${surroundings:-}" ] || return 0  # on another file system, as a build may be anyway
    if [ $((SPACE_FACTOR * $(total_of "$@") / 1024)) -lt "$memory" ]; then
        mount -t tmpfs -o mode=0755 tmpfs $root
        return
    fi
    mkdir -p /build/layers/{lower,upper,work}
    mount -t overlay -o volatile,lowerdir=/build/layers/lower,upperdir=/build/layers/upper,workdir=/build/layers/work \
        overlay $root || phase "no volatile overlay: building on the plain file system"
    chmod 0755 $root
}

# Space that a build takes for each byte of its packages: BUILD_FACTOR of the builder.
SPACE_FACTOR=8

# Bytes of the given files.
total_of() {
    local total=0 size
    for size in $(stat --format=%s "$@"); do total=$((total + size)); done
    echo "$total"
}

# Newest time stamp of the given packages: a date for all that the build makes itself, the same in every build.
epoch_of() {
    local newest=0 deb stamp
    for deb in "$@"; do
        stamp=$(head -c 36 "$deb" | tail -c 12 | tr -d ' ')  # ar header of the first member
        if [ "$stamp" -gt "$newest" ]; then newest=$stamp; fi
    done
    echo "$newest"
}

# begin_layer LAYER PACKAGE...: a root file system that starts from a layer, or empty; it gets the date of the newest of all.
begin_layer() {
    local layer=$1 below=0
    shift
    if [ $# -gt 0 ]; then
        # shellcheck source=/dev/null
        . "$check"
        require_claims "/build/${claimsPath##*/}" "$@"
    fi
    touch /build/start
    # shellcheck disable=SC2086,SC2154  # many files
    make_root ${layer:+"$layer/layer.squashfs"} "$@" ${archives:-}
    if [ -n "$layer" ]; then
        phase "unpacking what is below"
        unsquashfs -quiet -no-progress -force -dest $root "$layer/layer.squashfs"
        below=$(cat $root/.epoch)
        rm $root/.epoch
    fi
    SOURCE_DATE_EPOCH=$(epoch_of "$@")
    [ "$SOURCE_DATE_EPOCH" -gt "$below" ] || SOURCE_DATE_EPOCH=$below
    export SOURCE_DATE_EPOCH
}

# list_numbers FILE: which users and groups there are
list_numbers() {
    # Other lines are no accounts: `+` of NIS.
    (cd $root/etc && awk -F : '/^[^:[:space:]]+:[^:]*:[0-9]+:/ { print (FILENAME == "group" ? "group" : "user"), $1, $3 }' \
        passwd group) > "$1"
}

end_layer() {
    list_numbers "$out/numbers"
    echo "$SOURCE_DATE_EPOCH" > $root/.epoch
    clamp_times /build/start
    phase "packing"
    squash "$out/layer.squashfs" 1
}

without_documentation=(
    --path-exclude='/usr/share/doc/*' --path-include='/usr/share/doc/*/copyright'
    --path-exclude='/usr/share/man/*' --path-exclude='/usr/share/info/*' --path-exclude='/usr/share/lintian/*'
    --path-exclude='/usr/share/locale/*'
)

# What maintainer scripts expect of a running system; undone by leave_root.
enter_root() {
    mkdir -p $root/{proc,dev,mnt}
    # The computer that every image is built on, as far as packages look.
    printf '127.0.0.1 localhost\n127.0.1.1 image.localdomain image\n::1 localhost ip6-localhost ip6-loopback\n' > $root/etc/hosts
    echo image > $root/etc/hostname
    mount -t proc proc $root/proc
    mount --rbind /dev $root/dev
    mount --rbind "$NIX_STORE" $root/mnt
    printf '#!/bin/sh\nexit 101\n' > $root/usr/sbin/policy-rc.d
    chmod 0755 $root/usr/sbin/policy-rc.d
}

leave_root() {
    umount --lazy $root/mnt $root/dev
    umount $root/proc
    rm -f $root/usr/sbin/policy-rc.d $root/etc/hostname
    : > $root/etc/hosts  # what is written to it when a node boots is for everybody to read
}

in_root() {
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        DEBCONF_NONINTERACTIVE_SEEN=true SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" chroot $root "$@"
}

# Installs packages that are all given, so that no order has to be worked out: what cannot be unpacked yet (Pre-Depends)
# is tried again once the others are configured.
install() {
    local round todo=("${@/#"$NIX_STORE"/\/mnt}")
    for round in 1 2 3 4 5 6; do
        if run_dpkg --unpack --skip-same-version --abort-after=9999 "${without_documentation[@]}" "${todo[@]}"; then
            run_dpkg --configure --pending || break
            return
        fi
        phase "round $round: configuring what was unpacked"
        run_dpkg --configure --pending || true
    done
    explain_dpkg
    return 1
}

# What it says is kept as that of the last run.
run_dpkg() {
    in_root dpkg --force-unsafe-io "$@" 2>&1 | tee /build/dpkg >&2
}

# The lines of each package that failed: what others said after it, hides them.
explain_dpkg() {
    local package
    sed -n 's/^dpkg: error processing \(package\|archive\) \([^ ]*\) .*/\2/p' /build/dpkg | sort -u | while read -r package; do
        echo "what $package said:"
        sed -n "/^\(Setting up\|Unpacking\) ${package//\//\\/} /,/^dpkg: error processing .* ${package//\//\\/} /p" /build/dpkg |
            tail -n 12 | sed 's/^/  /'
    done >&2
}

# All that is newer than the file $1 gets the date of the build.
clamp_times() {
    find $root -newer "$1" -print0 | xargs -0r touch --no-dereference --date="@$SOURCE_DATE_EPOCH"
}

# The directory as an archive for an initramfs, all of one date.
archive() {
    find "$1" -print0 | xargs -0 touch --no-dereference --date="@$SOURCE_DATE_EPOCH"
    (cd "$1" && find . -mindepth 1 | sort | cpio --quiet --create --format=newc --owner=0:0 --reproducible)
}

squash() {
    # It takes its date from SOURCE_DATE_EPOCH.
    mksquashfs $root "$1" -noappend -quiet -no-progress -comp zstd -Xcompression-level "$2"
}
