#!/usr/bin/env bash
# Copies the collection as export.sh does, with an address of its repository: linters want one, which the owner enters
# before the first publication (docs/publishing.md). Usage: addressed.sh DIRECTORY
set -euo pipefail
"$(dirname "$0")/export.sh" "$1"
metadata=$1/ansible_collections/immutable/compose/galaxy.yml
grep -q '^repository:' "$metadata" || echo 'repository: https://not-published.invalid' >>"$metadata"
