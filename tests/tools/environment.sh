#!/usr/bin/env bash
# A virtual environment of what a list of requirements asks for, by the first Python of those that is here; renewed when a list changes.
# Usage: environment.sh DIRECTORY REQUIREMENTS PYTHON...
set -euo pipefail
cd "$(dirname "$0")/../.."
directory=$1 requirements=$2
shift 2
digest=$(cat requirements.txt "$requirements" | sha256sum)  # some lists begin with the collection's
[ "$digest" != "$(cat "$directory/.digest" 2>/dev/null)" ] || exit 0
for version in "$@"; do
    python=$(tests/tools/interpreter.sh "$version") && break
done
echo "== installing Python packages into $directory: -r $requirements"
"$python" -m venv --clear "$directory"
"$directory/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
echo "$digest" >"$directory/.digest"
