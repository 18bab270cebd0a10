#!/usr/bin/env bash
# Makes a release in a directory, and tries it there.
set -euo pipefail
cd "$(dirname "$0")/../.."
python tests/tools/release.py make "$1"
version=$(sed -n 's/^version: //p' galaxy.yml)
python tests/tools/release.py try "$1/immutable-compose-$version.tar.gz"
cp "$1/CHANGELOG.md" .
cp "$1/changelog.yaml" changelogs
git ls-files changelogs/fragments | xargs -r rm -f
cat <<END
The changelog is here now. To be done by hand:
  git commit -a -m 'Release $version' && git tag -s v$version
  then upload what is in $1
END
