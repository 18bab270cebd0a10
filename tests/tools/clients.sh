#!/usr/bin/env bash
# The environment of the clients of Kadeploy and Grid'5000, renewed when requirements-clients.txt changes.
# Usage: clients.sh DIRECTORY
set -euo pipefail
cd "$(dirname "$0")/../.."
directory=$1
digest=$(sha256sum requirements-clients.txt)
[ "$digest" != "$(cat "$directory/.digest" 2>/dev/null)" ] || exit 0
for version in 3.11 3.13; do
    python=$(tests/tools/interpreter.sh "$version") && break
done
"$python" -m venv --clear "$directory"
"$directory/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements-clients.txt
echo "$digest" >"$directory/.digest"
