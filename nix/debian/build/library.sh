# Functions of the build scripts. They run as root in the tools' tree; the root file system being made is /build/root.

root=/build/root

# What the build does now, for whoever watches it; Nix passes this on.
phase() {
    printf '@nix {"action":"setPhase","phase":"%s"}\n' "$*" >&2
}

# Creates the empty root file system; if the kernel can, as one that waits for no disk (dpkg asks it to, often).
make_root() {
    mkdir $root
    mkdir -p /build/layers/{lower,upper,work}
    mount -t overlay -o volatile,lowerdir=/build/layers/lower,upperdir=/build/layers/upper,workdir=/build/layers/work \
        overlay $root || phase "no volatile overlay: building on the plain file system"
    chmod 0755 $root
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

without_documentation=(
    --path-exclude='/usr/share/doc/*' --path-include='/usr/share/doc/*/copyright'
    --path-exclude='/usr/share/man/*' --path-exclude='/usr/share/info/*' --path-exclude='/usr/share/lintian/*'
    --path-exclude='/usr/share/locale/*'
)

# What maintainer scripts expect of a running system; undone by leave_root.
enter_root() {
    mkdir -p $root/{proc,dev,mnt}
    mount -t proc proc $root/proc
    mount --rbind /dev $root/dev
    mount --rbind "$NIX_STORE" $root/mnt
    printf '#!/bin/sh\nexit 101\n' > $root/usr/sbin/policy-rc.d
    chmod 0755 $root/usr/sbin/policy-rc.d
}

leave_root() {
    umount --lazy $root/mnt $root/dev
    umount $root/proc
    rm $root/usr/sbin/policy-rc.d
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
        if in_root dpkg --unpack --skip-same-version --force-unsafe-io --abort-after=9999 "${without_documentation[@]}" \
            "${todo[@]}"
        then
            in_root dpkg --configure --pending --force-unsafe-io
            return
        fi
        phase "round $round: configuring what was unpacked"
        in_root dpkg --configure --pending --force-unsafe-io || true
    done
    echo "dpkg could not install all packages (see above)" >&2
    return 1
}

# All that is newer than the file $1 gets the date of the build.
clamp_times() {
    find $root -newer "$1" -print0 | xargs -0r touch --no-dereference --date="@$SOURCE_DATE_EPOCH"
}

squash() {
    # It takes its date from SOURCE_DATE_EPOCH.
    mksquashfs $root "$1" -noappend -quiet -no-progress -comp zstd -Xcompression-level "$2"
}
