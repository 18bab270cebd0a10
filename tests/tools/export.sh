#!/usr/bin/env bash
# Copies the files that git knows, or would take, into a fresh work tree: ansible-test and ansible-galaxy want the
# collection at a path that ends in ansible_collections/immutable/compose, without what lies about in a checkout.
# Usage: export.sh DIRECTORY
set -euo pipefail
target=$1/ansible_collections/immutable/compose
cd "$(dirname "$0")/../.."
rm -rf "$target"
mkdir -p "$target"
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
    [ ! -e "$file" ] || printf '%s\0' "$file"  # deleted, but not yet committed
done | tar -c --null --files-from - | tar -x -C "$target"
git -C "$target" init --quiet
