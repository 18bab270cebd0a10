#!/usr/bin/env bash
# Builds the collection as a release would be, and lets galaxy-importer judge it: whatever it complains of fails.
set -euo pipefail
cd "$(dirname "$0")/../.."
dist=$PWD/.cache/dist
export GALAXY_IMPORTER_CONFIG=$PWD/tests/tools/galaxy-importer.cfg
export PATH=$PWD/.cache/venv/importer/bin:$PATH

tests/tools/addressed.sh "$dist"
ansible-galaxy collection build --force --output-path "$dist" "$dist/ansible_collections/immutable/compose"
cd "$dist"
python -m galaxy_importer.main immutable-compose-*.tar.gz 2>&1 | tee importer.log
if grep -E '^(WARNING|ERROR)' importer.log; then
    exit 1
fi
