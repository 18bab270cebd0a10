#!/usr/bin/env bash
# ansible-lint over the whole collection, every rule of its profile.
set -euo pipefail
cd "$(dirname "$0")/../.."
tests/tools/addressed.sh "$PWD/.cache/lint"
cd .cache/lint/ansible_collections/immutable/compose
ansible-lint --nocolor
