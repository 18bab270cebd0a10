# shellcheck shell=sh
# Unpacks $debs, without running any of their scripts, to the tree $out, in which enter.sh runs the other builds.
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

# shellcheck source=/dev/null
. "$check"
# shellcheck disable=SC2086,SC2154
require_claims "$claimsPath" $debs

mkdir "$out"
cd "$out"
mkdir -p usr/bin usr/sbin usr/lib usr/lib64 usr/lib32 usr/libx32 build dev proc tmp ".$NIX_STORE"
for directory in bin sbin lib lib64 lib32 libx32; do ln -s "usr/$directory" "$directory"; done
printf '@nix {"action":"setPhase","phase":"unpacking"}\n' >&2
for deb in $debs; do
    dpkg-deb --fsys-tarfile "$deb" | tar --extract --keep-directory-symlink --no-same-owner --no-same-permissions \
        --exclude='./usr/share/doc' --exclude='./usr/share/man' --exclude='./usr/share/locale' --exclude='./dev/*'
done
# Alternatives are made by scripts that did not run.
ln -sf mawk usr/bin/awk
