# What maintainer scripts and `postInstall` have generated: a key of the image would be one for all nodes, and for everybody
# who can read the image. What is known goes, and is made when a node boots; all else fails the build, but for what the
# role keeps. Of all of it ($config: path or pattern → keep, command or secret).

made=/build/made
: > $made
query '.files // {} | keys[]' > /build/files
while IFS=$'\t' read -r pattern kind; do
    [ "$kind" != keep ] || continue
    mapfile -t found < <(compgen -G "$root$pattern" | sed "s,^$root,," | grep -vxF -f /build/files)
    # What only the role knows of is made though no package has generated it.
    [ ${#found[@]} -gt 0 ] || [ "$kind" != secret ] || found=("$pattern")
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
[ ! -s $made ] || jq --slurp . $made > $root/usr/lib/compose/generated.json

packaged=/build/packaged
sed -E 's,^/(s?bin|lib|lib32|lib64|libx32)/,/usr/\1/,' $root/var/lib/dpkg/info/*.list | sort -u > $packaged

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

# What nobody has written on purpose: path, mode.
find $root -xdev -type f -size +0 -printf '/%P\t%m\n' | sort | join -t $'\t' -v 1 - $packaged > /build/others
query '.generated | keys[]' | cat /build/files - > /build/ours
{
    awk -F '\t' -v OFS='\t' '$2 == 400 || $2 == 600 { print $1, "mode 0" $2 }' /build/others
    # On a line of its own: programs that read keys have these words, too.
    cut -f 1 /build/others | sed "s,^,$root," | tr '\n' '\0' |
        { xargs -0r grep --files-with-matches --text -Ee '-----BEGIN [A-Z ]*PRIVATE KEY-----\s*$' || true; } |
        sed "s,^$root\(.*\),\1\ta private key,"
} | sort -u -t $'\t' -k 1,1 |
while IFS=$'\t' read -r path why; do
    while read -r pattern; do
        # shellcheck disable=SC2053  # a pattern
        [[ $path != $pattern && $path != $pattern/* ]] || continue 2
    done < /build/ours
    echo "generated: $path ($why), of $(package_of "$path")"
done > /build/secrets
if [ -s /build/secrets ]; then
    head -n 12 /build/secrets >&2
    [ "$(wc -l < /build/secrets)" -le 12 ] || echo "generated: and more, $(wc -l < /build/secrets) files in all" >&2
    echo "the image has what every node must have for itself: say in roles.NAME.generated what becomes of it" >&2
    exit 1
fi
