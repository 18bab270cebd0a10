# shellcheck shell=bash disable=SC2154
# A directory with links to the files of the formats ($files: format pattern …) and image.json ($manifest, completed).
mkdir "$out"
formats='{}'
# shellcheck disable=SC2086
set -f -- $files
set +f
while [ $# -gt 0 ]; do
    # shellcheck disable=SC2206
    found=($2)
    if [ ${#found[@]} != 1 ] || [ ! -e "${found[0]}" ]; then
        echo "expected one file $2" >&2
        exit 1
    fi
    name=$1-$(basename "${found[0]}")
    ln -s "$(readlink -f "${found[0]}")" "$out/$name"
    formats=$(jq --arg format "$1" --arg file "$name" --argjson size "$(stat -Lc %s "${found[0]}")" \
        --arg sha256 "$(sha256sum "${found[0]}" | cut -d' ' -f1)" '.[$format] = {$file, $size, $sha256}' <<< "$formats")
    shift 2
done

jq --raw-input --slurp -f "$packages" "$closure/store-paths" > packages.json

# Written so that no hash of a store path stands there as such (its last character as \uXXXX, the same text for every
# reader of JSON): the image has copies of the packages, and is not to keep, or take along, the packages themselves.
escape=()
for character in 0 1 2 3 4 5 6 7 8 9 a b c d f g h i j k l m n p q r s v w x y z; do
    code=$(printf '%04x' "'$character")
    escape+=(-e "s/\\([^0-9a-z][0-9a-z]\\{31\\}\\)$character-/\\1\\\\u$code-/g")
done
jq --sort-keys --argjson formats "$formats" --slurpfile packages packages.json '.formats = $formats | .packages = $packages[0]' \
    "$manifestPath" | sed "${escape[@]}" > "$out/image.json"
