# shellcheck shell=sh
# require_claims FILE DEB...: refuses packages whose own names, versions and architectures are others than those in the file,
# a line for each: hashes say what is in an image, names what people and audits read of it.
require_claims() {
    claims=$1 wrong=
    shift
    while read -r claimed; do
        said=$(dpkg-deb --show --showformat='${Package} ${Version} ${Architecture}' "$1")
        [ "$said" = "$claimed" ] || wrong="$wrong; '$claimed' is '$said'"
        shift
    done < "$claims"
    [ -z "$wrong" ] || {
        echo "packages are others than the lock says: ${wrong#; }" >&2
        exit 1
    }
}
