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
        below=$(cat "$layer/epoch")
    fi
    SOURCE_DATE_EPOCH=$(epoch_of "$@")
    [ "$SOURCE_DATE_EPOCH" -gt "$below" ] || SOURCE_DATE_EPOCH=$below
    export SOURCE_DATE_EPOCH
    list_paths > /build/below
    sleep 0.05  # a kernel's clock ticks: what is changed from now on was changed later than this file
}

# Type and path of all that is in the root file system.
list_paths() {
    (cd $root && find . -mindepth 1 -printf '%y%P\0')
}

# list_numbers FILE: which users and groups there are
list_numbers() {
    # Other lines are no accounts: `+` of NIS.
    (cd $root/etc && awk -F : '/^[^:[:space:]]+:[^:]*:[0-9]+:/ { print (FILENAME == "group" ? "group" : "user"), $1, $3 }' \
        passwd group) > "$1"
}

# end_layer LEVEL: packs it, as well as that level of zstd does.
end_layer() {
    list_numbers "$out/numbers"
    echo "$SOURCE_DATE_EPOCH" > "$out/epoch"
    clamp_times /build/start
    phase "packing"
    pack $root "$out/layer.squashfs" -noappend -comp zstd -Xcompression-level "$1"
}

# What no image keeps: what is of the build, or of one node only.
clean_root() {
    rm -rf $root/var/lib/apt/lists $root/var/cache/apt $root/var/cache/debconf/{passwords.dat,*-old} $root/var/cache/ldconfig \
        $root/var/lib/dpkg/*-old $root/var/lib/dpkg/lock* $root/var/lib/dpkg/triggers/Lock $root/var/lib/systemd/random-seed \
        $root/var/lib/ucf/cache/* $root/etc/ssh/ssh_host_* $root/etc/*- $root/etc/hostname $root/tmp/* $root/var/tmp/* $root/run/* \
        $root/.dockerenv
    find $root/var/cache/man -mindepth 1 -delete 2>/dev/null || true
    mkdir -p $root/var/cache/apt
    : > $root/etc/machine-id
    rm -f $root/var/lib/dbus/machine-id
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
        if run_dpkg --unpack --skip-same-version "${without_documentation[@]}" "${todo[@]}"; then
            run_dpkg --configure --pending || break
            return
        fi
        phase "round $round: configuring what was unpacked"
        run_dpkg --configure --pending || true
    done
    explain_dpkg
    return 1
}

# What it says is kept as that of the last run. It would stop at the fiftieth package whose dependencies are missing yet.
run_dpkg() {
    in_root dpkg --force-unsafe-io --abort-after=9999 "$@" 2>&1 | tee /build/dpkg >&2
}

# The lines of each package that failed: what others said after it, hides them. Who only waited for another said nothing.
explain_dpkg() {
    local package said
    sed -n 's/^dpkg: error processing \(package\|archive\) \([^ ]*\) .*/\2/p' /build/dpkg | sort -u | while read -r package; do
        said=$(sed -n "/^\(Setting up\|Unpacking\) ${package//\//\\/} /,/^dpkg: error processing .* ${package//\//\\/} /p" /build/dpkg |
            tail -n 12 | sed 's/^/  /')
        [ -z "$said" ] || printf 'what %s said:\n%s\n' "$package" "$said"
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

# pack DIRECTORY FILE OPTION...
pack() {
    # It takes its date from SOURCE_DATE_EPOCH.
    mksquashfs "$1" "$2" -quiet -no-progress "${@:3}"
}

# pack_above LAYER FILE: the root file system as what was changed above that layer, whose packed content is taken as it is.
# In the file are two directories, to be laid over each other as overlayfs does it (filesystems/overlayfs.rst in the
# documentation of Linux): `role` over `packages`. What was removed is a character device 0/0.
pack_above() {
    mkdir role
    list_paths > now
    perl -0 -e '
        sub paths { open my $list, "<", shift or die; map { chomp; $_ } <$list> }
        my %there = map { (substr($_, 1) => substr $_, 0, 1) } paths(shift);
        for (paths(shift)) {
            my ($parent, $path) = m{^.((?:(.*)/)?[^/]+)$}s ? ($2, $1) : die;
            print "$path\0" unless exists $there{$path} || defined $parent && ($there{$parent} // "") ne "d";
        }
    ' now /build/below > removed
    (
        cd role
        xargs -0r dirname -z < ../removed | sort -zu | xargs -0r mkdir -p
        while IFS= read -rd '' path; do mknod -m 0 "$path" c 0 0; done < ../removed
    )
    (cd $root && find . -mindepth 1 -cnewer /build/below -printf '%P\0') |
        perl -0 -ne 'chomp; while ($_ ne "") { print "$_\0"; s,/?[^/]*$,, }' | LC_ALL=C sort -zu | copy_paths $root role
    cp "$1/layer.squashfs" "$2"
    chmod u+w "$2"
    pack role "$2" -root-becomes packages -keep-as-directory -no-recovery
}

# copy_paths FROM TO: the directory itself, and all that is named on standard input
copy_paths() {
    { printf '.\0'; cat; } |
        tar --create --directory "$1" --null --no-recursion --files-from=- --xattrs --xattrs-include='*' |
        tar --extract --directory "$2" --xattrs --xattrs-include='*'
}

# unpack_root FILE DIRECTORY: the root file system in a file, be it packed whole or above a layer
unpack_root() {
    unsquashfs -quiet -no-progress -dest unpacked "$1"
    if [ ! -d unpacked/packages ] || [ ! -d unpacked/role ]; then
        mv unpacked "$2"
        return
    fi
    mv unpacked/packages "$2"
    (cd unpacked/role && find . -mindepth 1 -printf '%y%P\0') | while IFS= read -rd '' path; do
        kind=${path:0:1} path=${path:1}
        if [ "$kind" = c ] && [ "$(stat --format=%t:%T "unpacked/role/$path")" = 0:0 ]; then
            rm -rf "${2:?}/$path"
            continue
        fi
        # tar puts no directory in the place of anything else, and nothing else in that of a directory.
        if [ -d "$2/$path" ] && [ ! -L "$2/$path" ]; then below=d; else below=f; fi
        case $kind$below in
            df) rm -f "${2:?}/$path" ;;
            dd) ;;
            ?d) rm -r "${2:?}/$path" ;;
        esac
        printf '%s\0' "$path"
    done | copy_paths unpacked/role "$2"
    rm -rf unpacked
}
