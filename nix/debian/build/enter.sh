# shellcheck shell=sh
# Runs $script in the tree $tools, where it is root of that and nobody on this host: it has users, processes, mounts, network
# and names of its own, sees its directory (/build) and what of the store it is made of, and can write only there and to $out.
# shellcheck disable=SC2089,SC2090
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

refuse() {
    echo "this host cannot confine builds: $*" >&2
    exit 1
}

# Users of the build, by their numbers there: those from $first on of this host, which belong to nobody. Above are those
# that systemd lends to containers, below those of people.
first=1879048192 count=268304384
# A user who is root in a namespace only has there what was lent to that user, and keeps the first number.
for map in /proc/self/uid_map /proc/self/gid_map; do
    while read -r begin _ many; do end=$((begin + many)); done < "$map"
    [ "$end" -ge $((first + count)) ] || first=1 count=$((end - 1))
done
[ "$count" -ge 65535 ] || refuse "a build has 65535 users, and only $count are lent to whoever builds (subuid(5))"

# A build that is made again has all in another way that must not matter: users, processors, order.
processors=
if [ -n "${surroundings:-}" ]; then
    [ "$first" = 1 ] || first=$((first + 65536)) count=$((count - 65536))
    allowed=$(taskset --cpu-list --pid $$)
    processors="taskset --cpu-list ${allowed##*[!0-9]}"
    other=
    for path in $needs; do other="$path $other"; done
    needs=$other
fi

# KiB of memory for a build: there may be as many at the same time as processors.
while read -r what memory _; do [ "$what" != MemAvailable: ] || break; done < /proc/meminfo
limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null) || limit=max
[ "$limit" = max ] || [ $((limit / 1024)) -gt "$memory" ] || memory=$((limit / 1024))
memory=$((memory / $(nproc)))

work=$PWD
[ "$(id -u)" = 0 ] || { echo "the debian builder has to run as root" >&2; exit 1; }

# The namespace of the users, held by a process until it is entered: only from outside it can be given more than one user.
holder=$(unshare --user sh -c 'sleep 600 > /dev/null 2>&1 & echo $!') || refuse "it allows no user namespaces"
exec 9< "/proc/$holder/ns/user"
echo "0 $first $count" > "/proc/$holder/uid_map"
echo "0 $first $count" > "/proc/$holder/gid_map"
kill "$holder"

mkdir build "$out"
for file in .attr-*; do  # attributes of the derivation that are files
    [ ! -e "$file" ] || cp "$file" build/
done
chown "$first:$first" build "$out"

# The tree, as root of this host, who may look everywhere. What is mounted now, the build can neither unmount nor write.
outside='
    set -eu
    mkdir tree
    mount -t tmpfs -o mode=0755 tmpfs tree
    cd tree
    mkdir root
    mount --bind -o ro "$tools" root
    mount --bind "$work/build" root/build
    mount -t tmpfs -o mode=0755 tmpfs "root$NIX_STORE"
    for path in $library $script $needs; do
        path=${path#"$NIX_STORE/"}
        path=$NIX_STORE/${path%%/*}
        [ ! -e "root$path" ] || continue
        if [ -d "$path" ]; then mkdir "root$path"; else : > "root$path"; fi
        echo "$path $work/tree/root$path none bind,ro 0 0"
    done > table
    mount --all --fstab table
    mkdir "root$out"
    mount --bind "$out" "root$out"
    mount -o remount,bind,ro "root$NIX_STORE"
    mount --rbind . /tmp
    cd /tmp
    $processors nsenter --user=/proc/self/fd/9 setpriv --pdeathsig KILL \
        unshare --mount --pid --net --ipc --uts --fork --kill-child sh -c "$inside"
'
# The rest, as root of the build. The host is left by pivot_root, after which there is no way back to it.
inside='
    set -eu
    exec 9<&-
    mount --rbind root root
    cd /tmp/root
    mount -t proc proc proc
    mount -t tmpfs -o mode=0755 tmpfs dev
    for device in null zero full random urandom tty; do
        : > "dev/$device"
        mount --bind "/dev/$device" "dev/$device"
    done
    ln -s /proc/self/fd dev/fd
    mount -t tmpfs tmpfs tmp
    mkdir tmp/host
    pivot_root . tmp/host
    cd /
    umount --lazy tmp/host
    rmdir tmp/host
    hostname image
    cd /build
    exec perl -e "$loopback$forget" "$(uname -m)" /bin/bash -euo pipefail -c ". $library; . $script"
'
# Packages look for a network: the loopback interface is up (SIOCSIFFLAGS, IFF_UP), and there is no other.
loopback='
    my $request = pack("a16 s x22", "lo", 1);
    socket(SOCKET, 2, 2, 0) && ioctl(SOCKET, 0x8914, $request) or die "no loopback interface: $!";
'
# The session keyring of this host would be inherited: takes a new one, if this kernel has any.
forget='
    my %keyctl = (x86_64 => 250, aarch64 => 219);
    syscall($keyctl{shift @ARGV}, 1, 0) >= 0 or $!{ENOSYS} or $!{EPERM} or die "no new session keyring: $!";
    exec @ARGV or die "$ARGV[0]: $!";
'
export memory work processors inside loopback forget TMPDIR=/build TMP=/build TEMP=/build TEMPDIR=/build NIX_BUILD_TOP=/build HOME=/build LC_ALL=C.UTF-8 TZ=UTC
setpriv --pdeathsig KILL unshare --mount sh -c "$outside"

# Others follow the links of an image on this host, outside: none may lead anywhere but to the store.
odd=$(find "$out" ! -type d ! -type f ! \( -type l \( -lname "$NIX_STORE/*" -o -path "$out/*" -lname '../*' \) ! -lname '*/..*' \) -print -quit)
[ -z "$odd" ] || { echo "the build made $odd, which is neither a file nor a directory" >&2; exit 1; }
