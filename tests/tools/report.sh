#!/usr/bin/env bash
# What the page is looked at with, renewed when requirements-report.txt changes: playwright, and Debian's chromium.
# Usage: report.sh DIRECTORY
set -euo pipefail
cd "$(dirname "$0")/../.."
directory=$1
if ! command -v chromium >/dev/null; then
    echo "== installing Debian's chromium"
    as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium fonts-dejavu-core
fi
digest=$(cat requirements.txt requirements-report.txt | sha256sum)
[ "$digest" != "$(cat "$directory/.digest" 2>/dev/null)" ] || exit 0
for version in 3.13 3.11; do
    python=$(tests/tools/interpreter.sh "$version") && break
done
"$python" -m venv --clear "$directory"
"$directory/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements-report.txt
echo "$digest" >"$directory/.digest"
