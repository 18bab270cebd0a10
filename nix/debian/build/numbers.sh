# Numbers of users and groups: those that the lock has kept for the role ($config: .numbers), whatever the tools would take.

# kept users|groups NAME: its number; nothing, where none is kept
kept() {
    query --arg kind "$1" --arg name "$2" '.numbers[$kind][$name] // ""'
}

# What packages made has the next numbers that were free, which depend on all the packages.
renumber_packages() {
    query '.numbers // {} | to_entries[] | .key as $kind | .value | to_entries[] | "\($kind) \(.key) \(.value)"' > /build/kept
    [ -s /build/kept ] || return 0
    : > /build/moves
    awk -F : -v OFS=: '
        function number_of(kind, name, number) {
            if (!((kind "s", name) in kept) || kept[kind "s", name] == number) return number
            print kind " " number " " kept[kind "s", name] > "/build/moves"
            return kept[kind "s", name]
        }
        FILENAME == "/build/kept" { split($0, field, " "); kept[field[1], field[2]] = field[3]; next }
        FILENAME ~ /group$/ { old = $3; $3 = groups[old] = number_of("group", $1, old); print > "/build/group"; next }
        { $3 = number_of("user", $1, $3); if ($4 in groups) $4 = groups[$4]; print > "/build/passwd" }
    ' /build/kept $root/etc/group $root/etc/passwd
    [ -s /build/moves ] || return 0
    phase "renumbering users and groups"
    cat /build/group > $root/etc/group
    cat /build/passwd > $root/etc/passwd
    perl $root/usr/lib/compose/renumber tree $root /build/moves
}

# make_group NAME: unless there is one
make_group() {
    local number
    ! in_root getent group "$1" > /dev/null || return 0
    number=$(kept groups "$1")
    in_root groupadd ${number:+--gid "$number"} "$1"
}
