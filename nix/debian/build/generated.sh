# What maintainer scripts and `postInstall` have generated: a key of the image would be one for all nodes, and for everybody
# who can read the image. What is known goes, and is made when a node boots; all else fails the build, but for what the
# role keeps.
# $config: .generated, path or pattern → keep, command or secret; .files, of which the role says itself what is in them.

made=/build/made
: > $made
query() { jq -r "$@" "$config"; }
query '.files // {} | keys[]' > /build/files
private_key='-----BEGIN [A-Z ]*PRIVATE KEY-----(\s*$|(\\n|\s)*[A-Za-z0-9+/=]{16})'

# Takes out what is known; adds to $made what is to be made when a node boots.
take_generated() {
    local pattern kind path mode owner directory found
    while IFS=$'\t' read -r pattern kind; do
        [ "$kind" != keep ] || continue
        mapfile -t found < <(compgen -G "$root$pattern" | sed "s,^$root,," | grep -vxF -f /build/files)
        # What only the role knows of is made though no package has generated it.
        [ ${#found[@]} -gt 0 ] || [ "$kind" != secret ] || is_made "$pattern" || found=("$pattern")
        for path in "${found[@]}"; do
            mode=400 owner=root:root directory=false
            if [ -e "$root$path" ]; then
                read -r mode owner < <(in_root stat --format='%a %U:%G' "$path")
                if [ -d "$root$path" ]; then
                    directory=true
                    find "$root$path" -mindepth 1 -delete
                else
                    rm "${root:?}$path"
                fi
            fi
            query --compact-output --arg pattern "$pattern" --arg path "$path" --arg mode "$mode" --arg owner "$owner" \
                --argjson directory $directory \
                '{path: $path, mode: $mode, owner: $owner, directory: $directory} + .generated[$pattern]' >> $made
        done
    done < <(query '.generated | to_entries[] | [.key, (.value | keys[0])] | join("\t")')
}

is_made() {
    jq --slurp --exit-status --arg path "$1" 'any(.path == $path)' $made > /dev/null
}

# Tells nodes what they make; of what was taken out twice, the latter.
declare_generated() {
    jq --slurp --rawfile files /build/files '($files | split("\n")) as $files |
        map(select(.path | IN($files[]) | not)) | group_by(.path) | map(last)' $made > /build/declared
    [ "$(jq length /build/declared)" = 0 ] || cp /build/declared $root/usr/lib/compose/generated.json
}

# of PATH: the package that has the nearest directory
package_of() {
    local directory=$1 lists
    while directory=${directory%/*} && [ -n "$directory" ]; do
        lists=$(grep -lxF -e "$directory" -e "${directory#/usr}" $root/var/lib/dpkg/info/*.list || true)
        case $lists in
            '' | *$'\n'*) ;;  # of nobody, or of many
            *) basename "$lists" .list && return ;;
        esac
    done
    echo "no package"
}

# What nobody has written on purpose: path, why it cannot be in an image. Packages give a key to a group, too; scripts of the role
# may have other reasons to keep others from reading, so that of them it is what only its owner may read.
list_private() {
    local path why pattern
    sed -E 's,^/(s?bin|lib|lib32|lib64|libx32)/,/usr/\1/,' $root/var/lib/dpkg/info/*.list | sort -u > /build/packaged
    # Byte code has nothing but what is in a program.
    find $root -xdev -type f -size +0 -printf '/%P\t%m\n' | sort | join -t $'\t' -v 1 - /build/packaged |
        awk -F '\t' '
            FILENAME == "/build/packaged" { packaged[$0]; next }
            { program = $1; sub("/__pycache__/", "/", program); sub("\\.[^./]*\\.pyc$", ".py", program) }
            program == $1 || !(program in packaged)
        ' /build/packaged - > /build/others
    query '.generated | keys[]' | cat /build/files - > /build/ours
    cut -c 1-32 $root/var/lib/dpkg/info/*.md5sums | sort -u > /build/contents
    if [ -n "${layer:-}" ]; then tr '\0' '\n' < /build/below; else cut -f 1 /build/others; fi | sed 's,^.,/,' > /build/theirs
    {
        awk -F '\t' -v OFS='\t' '
            FILENAME == "/build/theirs" { theirs[$0]; next }
            $1 == "/etc/shadow" || $1 == "/etc/gshadow" { next }
            $2 == 400 || $2 == 600 || ($2 % 10 < 4 && $1 in theirs) { print $1, "mode 0" $2 }
        ' /build/theirs /build/others | while IFS=$'\t' read -r path why; do
            # What is a copy of a file that a package brings, is known to everybody.
            grep -qxF "$(md5sum < "$root$path" | cut -c 1-32)" /build/contents || printf '%s\t%s\n' "$path" "$why"
        done
        # With something of a key behind them: programs that read keys have these words, too.
        cut -f 1 /build/others | sed "s,^,$root," | tr '\n' '\0' |
            { xargs -0r grep --files-with-matches --text -Ee "$private_key" || true; } |
            sed "s,^$root\(.*\),\1\ta private key,"
    } | sort -u -t $'\t' -k 1,1 |
    while IFS=$'\t' read -r path why; do
        while read -r pattern; do
            # shellcheck disable=SC2053  # a pattern
            [[ $path != $pattern && $path != $pattern/* ]] || continue 2
        done < /build/ours
        printf '%s\t%s\n' "$path" "$why"
    done
}

require_nothing_private() {
    local path why
    list_private > /build/private
    [ -s /build/private ] || return 0
    head -n 12 /build/private | while IFS=$'\t' read -r path why; do
        echo "generated: $path ($why), of $(package_of "$path")" >&2
    done
    [ "$(wc -l < /build/private)" -le 12 ] || echo "generated: and more, $(wc -l < /build/private) files in all" >&2
    echo "the image has what every node must have for itself: say in roles.NAME.generated what becomes of it" >&2
    exit 1
}
