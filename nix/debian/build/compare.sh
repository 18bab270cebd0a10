# Compares the files $images with those of $others: $out/differences has a line for each path that differs.

# unpack FILE DIRECTORY: what is in a file, as far as it is an archive, with what a listing tells of each path
unpack() {
    mkdir "$2"
    case $1 in
        *.squashfs) unsquashfs -quiet -no-progress -force -dest "$2/tree" "$1" ;;
        *.tar) mkdir "$2/tree" && tar --extract --file="$1" --directory="$2/tree" --numeric-owner ;;
        *) return 1 ;;
    esac
    lists=$PWD/$2
    (
        cd "$2/tree"
        layers=(.)
        [ ! -d packages ] || [ ! -d role ] || layers=(packages role)  # see pack_above
        for layer in "${layers[@]}"; do
            cd "$layer"
            find . -printf '%y %m %U:%G %T@ %l//%P\n' | sort >> "$lists/listing"  # no path has two slashes
            find . -type f -printf '%P\0' | sort -z | xargs -0r sha256sum >> "$lists/digests"
            cd "$OLDPWD"
        done
    )
}

read -ra files <<< "$images"
read -ra seconds <<< "$others"
number=0
for file in "${files[@]}"; do
    other=${seconds[number]}
    number=$((number + 1))
    ! cmp --silent "$file" "$other" || continue
    phase "comparing ${file##*/}"
    if unpack "$file" "one$number" && unpack "$other" "two$number"; then
        {
            { diff "one$number/listing" "two$number/listing" || true; } | sed -n 's,^[<>] .*//,/,p'
            { diff "one$number/digests" "two$number/digests" || true; } | sed -n 's,^[<>] [0-9a-f]*  ,/,p'
        } | sort -u > differing
    else
        : > differing
    fi
    [ -s differing ] || echo "${file##*/}" > differing
    cat differing >> "$out/differences"
done
[ -e "$out/differences" ] || : > "$out/differences"
