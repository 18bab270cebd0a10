#!/usr/bin/env bash
# Unit tests, and what ansible-test judges by version, with any one ansible-core: a cell of the matrix of CI.
# Usage: matrix.sh PYTHON REQUIREMENT, as in: matrix.sh 3.13 'ansible-core~=2.20.0'
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$1 requirement=$2
environment=.cache/matrix

"$(tests/tools/interpreter.sh "$python")" -m venv --clear "$environment"
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check "$requirement" -r requirements.txt -r requirements-test.txt
mkdir -p .cache/collections/ansible_collections/immutable
ln -sfn ../../../.. .cache/collections/ansible_collections/immutable/compose
PATH=$PWD/$environment/bin:$PATH
export ANSIBLE_CONFIG=$PWD/ansible.cfg
ansible --version
# What needs Nix, root, or services is the gate's.
python -m pytest -n auto --dist worksteal tests/unit/{composition,inventory,model}
tests/tools/ansible_test.sh "$environment" sanity --python "$python" --exclude tests/simulators/proxmox/records/ \
    --test ansible-doc --test import --test runtime-metadata --test validate-modules
