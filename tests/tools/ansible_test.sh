#!/usr/bin/env bash
# Runs ansible-test without containers: ansible_test.sh ENVIRONMENT ARGUMENT...
# ENVIRONMENT is a virtual environment with ansible-core; interpreters for the target's versions are used as far as
# they are installed here.
set -euo pipefail
cd "$(dirname "$0")/../.."
environment=$PWD/$1
shift

tests/tools/export.sh .cache/ansible-test
# Tests find the collection where it is in a checkout, too.
mkdir .cache/ansible-test/ansible_collections/immutable/compose/.cache
ln -s "$PWD/.cache/ansible-test" .cache/ansible-test/ansible_collections/immutable/compose/.cache/collections
ln -s "$PWD/.cache/venv" .cache/ansible-test/ansible_collections/immutable/compose/.cache/venv

# ansible-test looks for pythonX.Y in PATH, where shims of pyenv must not be: it takes their configuration away.
links=$PWD/.cache/ansible-test/bin
rm -rf "$links"
mkdir -p "$links"
for version in 3.9 3.10 3.11 3.12 3.13; do
    python=$(tests/tools/interpreter.sh "$version") && ln -s "$python" "$links/python$version"
done

# Where the script is that ansible-test would download otherwise: 2.19 and 2.21 want these versions of pip.
for version in 24_2 25_2; do
    bootstrap=$HOME/.ansible/test/cache/get_pip_$version.py
    [ -e "$bootstrap" ] || install -D -m 644 tests/tools/get_pip.py "$bootstrap"
done

cd .cache/ansible-test/ansible_collections/immutable/compose
PATH=$environment/bin:$links:/usr/sbin:/usr/bin:/sbin:/bin exec "$environment/bin/ansible-test" "$@"
