#!/usr/bin/env bash
# The manual and the reference of all plugins as one site that needs no server and no network: DIRECTORY/html/index.html.
# Usage: site.sh DIRECTORY
set -euo pipefail
cd "$(dirname "$0")/../.."
export ANSIBLE_CONFIG=$PWD/ansible.cfg
directory=$1
environment=.cache/sphinx
tests/tools/environment.sh "$environment" requirements-docs.txt 3.13 3.12 3.11
export PATH=$PWD/$environment/bin:$PATH
rm -rf "$directory"
mkdir -p "$directory/pages/collections"
# The repository as it is, so that links between its pages, and to its files, lead to the same ones.
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents --target-directory "$directory/pages"
antsibull-docs collection --use-current --squash-hierarchy --fail-on-error --dest-dir "$directory/pages/collections" immutable.compose
sphinx-build --quiet --fail-on-warning --keep-going --conf-dir tests/tools/site --doctree-dir "$directory/doctrees" \
    "$directory/pages" "$directory/html"
echo "the site: $directory/html/index.html"
