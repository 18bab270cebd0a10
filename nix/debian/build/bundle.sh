# A directory with links to the files of the formats ($files: format file …) and image.json ($manifest, completed).
# The links are relative: for its owner, a user's own store lies elsewhere than for Nix.
formats='{}'
set -- $files
while [ $# -gt 0 ]; do
    phase "measuring $1"
    name=$(basename "$2")
    ln -s "../${2#"$NIX_STORE/"}" "$out/$name"
    formats=$(jq --arg format "$1" --arg file "$name" --argjson size "$(stat -Lc %s "$2")" \
        --arg sha256 "$(sha256sum "$2" | cut -d' ' -f1)" '.[$format] = {file: $file, size: $size, sha256: $sha256}' <<< "$formats")
    shift 2
done
numbers=$(jq --raw-input --slurp 'def of($kind): map(select(.[0] == $kind) | {(.[1]): .[2] | tonumber}) | add // {};
    split("\n") | map(split(" ")) | {users: of("user"), groups: of("group")}' "$numbers")
jq --sort-keys --argjson formats "$formats" --argjson numbers "$numbers" '. + {$formats, $numbers}' "/build/${manifestPath##*/}" > "$out/image.json"
