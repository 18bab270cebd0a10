#!/usr/bin/env bash
# The gate: runs the stages of the given parts, fast to slow, and ends at the first that fails.
# Usage: gate.sh [static] [unit] [sanity] [e2e] [tools]
# The last line counts tests: every test of pytest, and one for each other stage.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
export ANSIBLE_CONFIG=$PWD/ansible.cfg

output=tests/output
rm -rf "$output"
mkdir -p "$output"
passed=0 failed=0 skipped=0 times=''

# count FILE ATTRIBUTE: number of tests in a JUnit file
count() {
    grep -o " $2=\"[0-9]*\"" "$1" | head -n 1 | tr -dc 0-9
}

# stage NAME COMMAND...
stage() {
    local name=$1 begin=$SECONDS code=0 junit=$output/$1.xml
    shift
    echo "== $name"
    "$@" || code=$?
    if [ -e "$junit" ]; then
        local bad=$(($(count "$junit" failures) + $(count "$junit" errors)))
        skipped=$((skipped + $(count "$junit" skipped)))
        passed=$((passed + $(count "$junit" tests) - bad - $(count "$junit" skipped)))
        failed=$((failed + bad))
    elif [ "$code" = 0 ]; then
        passed=$((passed + 1))
    fi
    times+="   $name: $((SECONDS - begin)) s"$'\n'
    if [ "$code" != 0 ]; then
        [ "$failed" -gt 0 ] || failed=1
        finish "== $name FAILED (exit code $code)" "$code"
    fi
}

finish() {
    printf '%s%s\n' "$times" "$1"
    echo "$passed passed, $failed failed, $skipped skipped"
    exit "$2"
}

# tests NAME ENVIRONMENT ARGUMENT...: a stage of pytest
tests() {
    local name=$1 environment=$2
    shift 2
    PATH=$PWD/$environment/bin:$PATH stage "$name" python -m pytest --junit-xml="$output/$name.xml" "$@"
}

static() {
    stage ruff ruff check .
    stage ruff-format ruff format --check .
    stage mypy mypy -p ansible_collections.immutable.compose.plugins
    stage yamllint yamllint --strict .
    stage shellcheck shellcheck .ci/run tests/tools/*.sh nix/*/build/*.sh nix/debian/image/usr/lib/compose/*-*
    stage changelog antsibull-changelog lint
    stage docs-lint antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs self .
    rm -rf .cache/docs && mkdir .cache/docs
    stage docs-render antsibull-docs collection --use-current --squash-hierarchy --fail-on-error --dest-dir .cache/docs \
        immutable.compose
    stage ansible-lint ansible-lint --nocolor
}

unit() {
    stage "unit-${newest##*/}" tests/tools/ansible_units.sh "$newest" "$output/unit-${newest##*/}.xml"
    for environment in "${environments[@]:1}"; do
        tests "unit-${environment##*/}" "$environment" -n auto tests/unit
    done
}

sanity() {
    # What does not depend on the version of ansible-core is looked at once.
    local options=(--exclude tests/simulators/proxmox/records/)
    for environment in "${environments[@]}"; do
        stage "sanity-${environment##*/}" tests/tools/ansible_test.sh "$environment" sanity "${options[@]}"
        options=(--skip-test pylint --skip-test pep8 --skip-test yamllint --skip-test shellcheck)
    done
    stage importer tests/tools/importer.sh
}

e2e() {
    tests "e2e-${newest##*/}" "$newest" -n 2 --dist loadfile tests/e2e
    for environment in "${environments[@]:1}"; do
        tests "smoke-${environment##*/}" "$environment" tests/e2e -m smoke
    done
}

# Other versions of Nix, and Guix, from chroots.
tools() {
    stage chroots tests/tools/chroots.sh
    for suite in trixie forky; do
        stage "nix-$suite" tests/tools/with_nix.sh "$suite" \
            python -m pytest --junit-xml="$output/nix-$suite.xml" -n auto tests/unit/builders
    done
    stage guix tests/tools/with_guix.sh python -m pytest --junit-xml="$output/guix.xml" tests/tools_versions
}

stage setup tests/tools/setup.sh test
mapfile -t environments < <(printf '%s\n' .cache/venv/3.* | sort -rV)  # the newest ansible-core first
newest=${environments[0]}
export PATH=$PWD/$newest/bin:$PATH

for part in "$@"; do
    case $part in
        static) static ;;
        unit) unit ;;
        sanity) sanity ;;
        e2e) e2e ;;
        tools) tools ;;
        *) finish "unknown part: $part" 2 ;;
    esac
done
finish '== all stages passed' 0
