#!/usr/bin/env bash
# antsibull-docs over the documentation of all plugins and roles, in a copy where the links of plugins/action are files: of
# a link it takes the target for the module's true name, and looks for options there.
set -euo pipefail
cd "$(dirname "$0")/../.."
copy=$PWD/.cache/docs-lint
collection=$copy/ansible_collections/immutable/compose
tests/tools/export.sh "$copy"
for file in "$collection"/plugins/action/*.py; do
    [ ! -L "$file" ] || cp --remove-destination "$(readlink -f "$file")" "$file"
done
cd "$collection"
antsibull-docs lint-collection-docs --plugin-docs --check-extra-docs-refs --validate-collection-refs self .
