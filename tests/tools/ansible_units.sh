#!/usr/bin/env bash
# Runs unit tests by ansible-test: ansible_units.sh ENVIRONMENT JUNIT FILE...
# JUNIT is the file for the results.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
code=0
tests/tools/ansible_test.sh "$1" units --python "${1##*/}" "${@:3}" || code=$?
cp .cache/ansible-test/ansible_collections/immutable/compose/tests/output/junit/*-units.xml "$2"
exit "$code"
