#!/usr/bin/env bash
# The gate: runs the stages of the given parts, fast to slow, and ends at the first that fails.
# Usage: gate.sh [static] [unit] [smoke] [sanity] [contract] [backends] [e2e] [damage] [images] [platforms] [travel] [release] [security] [guests] [clients] [machines] [sealed] [boot] [tools] [nixpkgs] [oar] [kexec] [awx] [compositions] [drift] [report] [fuzz] [chaos] [docs] [experiment]
# The last line counts tests: every test of pytest, and one for each other stage.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
export ANSIBLE_CONFIG=$PWD/ansible.cfg

output=tests/output
rm -rf "$output"
mkdir -p "$output"
passed=0 failed=0 skipped=0 times='' broken=''
may_skip=1  # otherwise a test that is left out has failed
declare -A running=()  # stages beside → their process

# count FILE ATTRIBUTE: number of tests in a JUnit file
count() {
    grep -o " $2=\"[0-9]*\"" "$1" | head -n 1 | tr -dc 0-9
}

# judge NAME CODE SECONDS: counts a stage that has ended
judge() {
    local junit=$output/$1.xml bad=0 left_out
    if [ -e "$junit" ]; then
        bad=$(($(count "$junit" failures) + $(count "$junit" errors)))
        left_out=$(count "$junit" skipped)
        [ -n "$may_skip" ] || bad=$((bad + left_out)) left_out=0
        skipped=$((skipped + left_out))
        passed=$((passed + $(count "$junit" tests) - bad - left_out))
        failed=$((failed + bad))
    elif [ "$2" = 0 ]; then
        passed=$((passed + 1))
    fi
    times+="   $1: $3 s"$'\n'
    if [ "$2" != 0 ] || [ "$bad" -gt 0 ]; then
        [ "$failed" -gt 0 ] || failed=1
        broken+="== $1 FAILED (exit code $2)"$'\n'
    fi
}

# stage NAME COMMAND...
stage() {
    local name=$1 begin=$SECONDS code=0
    shift
    echo "== $name"
    "$@" || code=$?
    judge "$name" "$code" $((SECONDS - begin))
    [ -z "$broken" ] || finish
}

# beside NAME COMMAND...: a stage that leaves a core to those that follow it; `gather` shows what it said
beside() {
    local name=$1
    shift
    (
        code=0 begin=$SECONDS
        "$@" || code=$?
        echo $((SECONDS - begin)) >"$output/$name.seconds"
        exit "$code"
    ) >"$output/$name.log" 2>&1 &
    running[$name]=$!
}

# gather: waits for the stages beside
gather() {
    local name code
    for name in "${!running[@]}"; do
        code=0
        wait "${running[$name]}" || code=$?
        echo "== $name"
        cat "$output/$name.log"
        judge "$name" "$code" "$(cat "$output/$name.seconds")"
    done
    running=()
    [ -z "$broken" ] || finish
}

# finish: the sums, once all have ended
finish() {
    [ ${#running[@]} -eq 0 ] || gather
    printf '%s' "$times$broken"
    [ -n "$broken" ] || echo "== all stages passed in $((SECONDS / 60)) min $((SECONDS % 60)) s"
    echo "$passed passed, $failed failed${may_skip:+, $skipped skipped}"
    [ -z "$broken" ]
    exit
}

# tests HOW NAME ENVIRONMENT ARGUMENT...: a stage of pytest, HOW is stage or beside
tests() {
    local how=$1 name=$2 environment=$3
    shift 3
    PATH=$PWD/$environment/bin:$PATH $how "$name" python -m pytest --junit-xml="$output/$name.xml" "$@"
}

static() {
    beside ansible-lint tests/tools/lint.sh
    stage ruff ruff check .
    stage ruff-format ruff format --check .
    stage mypy mypy
    stage yamllint yamllint --strict .
    stage shellcheck shellcheck .ci/run tests/tools/*.sh nix/*/build/*.sh tests/benchmarks/*.sh nix/debian/{image,installed}/usr/lib/compose/*-* nix/debian/follow/follow plugins/module_utils/nodes/connect.sh
    stage changelog antsibull-changelog lint
    stage reuse reuse lint --lines
    stage docs-lint tests/tools/docs_lint.sh
    tests stage docs-marks "$newest" tests/docs/test_marks.py
    rm -rf .cache/docs && mkdir .cache/docs
    stage docs-render antsibull-docs collection --use-current --squash-hierarchy --fail-on-error --dest-dir .cache/docs \
        immutable.compose
}

# What is long and about one thing has a command of its own, and is not part of the gate:
# - that nothing is touched that was not meant, on real nodes
damage=(tests/e2e/test_{absence,independence,interleaving,ownership,blame,damaged,killed,way_out,waiting,releases,settled,drift,hooks}.py tests/unit/checks/test_look.py)
# - what is built: by each builder, in each format, what it is made of, and what in it follows a repository
images=(tests/e2e/test_{audit,build,config,disk,nixos,nxc,nxc_boot,ordinary_user,packages,numbers}.py tests/unit/builders/test_nxc.py)
# - what one platform does that others do not
platforms=(tests/e2e/test_{hands,scratch,devices,folding,podman,kadeploy,kadeploy_refusals,proxmox_faults,proxmox_real,reservations}.py tests/unit/proxmox/test_{real,faults_*}.py)
# - what whole runs take over SSH to another host and bring back
travel=(tests/unit/travel tests/e2e/test_{elsewhere,staging,way_in}.py)
# - what trials of experiments do on real nodes, one after the other
experiments=(tests/e2e/test_experiment.py)
# - file systems and batch systems, and what becomes of them when a machine dies; those for NixOS are only evaluated
compositions=(tests/e2e/test_{ceph,gluster,moosefs,nfs,nixos_examples,oar,slurm}.py)
# - what is released, and what users meet first
release=(tests/e2e/test_{init,examples,first_contact,release,upgrade}.py)
apart=("${experiments[@]}" "${damage[@]}" "${images[@]}" "${platforms[@]}" "${travel[@]}" "${compositions[@]}" "${release[@]}")

# What is about other programs than Python and Ansible, and is looked at once. ansible-test gives each test a process of
# its own, so it has the others only; and those that start Ansible for each test only if there is no older one for them.
elsewhere=(tests/unit/{builders,kadeploy,oar,proxmox,simulators})
starting=(tests/unit/inventory/test_{listing,refusals,way_out}.py tests/unit/deploy/test_credentials.py)
unit() {
    local once=("${elsewhere[@]/%//}" "${apart[@]}") rest
    [ ${#environments[@]} -eq 1 ] || once+=("${starting[@]}")
    mapfile -t rest < <(git ls-files 'tests/unit/*test_*.py' | grep -vF "$(printf '%s\n' "${once[@]}")")
    stage "unit-${newest##*/}" tests/tools/ansible_units.sh "$newest" "$output/unit-${newest##*/}.xml" "${rest[@]}"
    # The slowest file would be one process's alone.
    tests stage unit-programs "$newest" -n 3 --dist worksteal "${elsewhere[@]}" "${apart[@]/#/--ignore=}"
    for environment in "${environments[@]:1}"; do
        tests stage "unit-${environment##*/}" "$environment" -n 3 --dist worksteal tests/unit \
            "${elsewhere[@]/#/--ignore=}" "${apart[@]/#/--ignore=}"
    done
}

# One after the other: ansible-test's environments are shared by the versions of ansible-core.
# shellcheck disable=SC2317  # it is called by `beside`
sanity_tests() {
    # What does not depend on the version of ansible-core is looked at once.
    local environment code=0 options=(--exclude tests/simulators/proxmox/records/)
    for environment in "${environments[@]}"; do
        echo "== with $environment"
        tests/tools/ansible_test.sh "$environment" sanity "${options[@]}" || code=$?
        # With an older one, what it may judge otherwise; its modules are imported by the Python that it runs on.
        options=(--python "${environment##*/}" --test ansible-doc --test import --test runtime-metadata --test validate-modules)
    done
    return "$code"
}

sanity() {
    beside importer tests/tools/importer.sh
    beside sanity sanity_tests
}

smoke() {
    for environment in "${environments[@]:1}"; do
        tests beside "smoke-${environment##*/}" "$environment" tests/e2e -m smoke
    done
}

# What every platform must do, over each that there is.
contract() {
    tests stage contract "$newest" -n 2 -m "not backends" tests/contract
}

# The same, over the other ways by which some platforms can be asked: a command of its own, for time.
backends() {
    tests stage contract-backends "$newest" -n 2 -m backends tests/contract
    tests stage e2e-backends "$newest" -m backends tests/e2e
}

# e2e_tests NAME FILE...
e2e_tests() {
    local name=$1
    shift
    tests stage "$name" "$newest" -n 2 --dist loadfile --no-loadscope-reorder --durations=10 "$@"
}

e2e() {
    e2e_tests "e2e-${newest##*/}" tests/e2e -m "not guests and not backends" "${apart[@]/#/--ignore=}"
}

damage() {
    may_skip=
    e2e_tests damage "${damage[@]}"
}

images() {
    may_skip=
    e2e_tests images "${images[@]}" -m "not guests"
}

platforms() {
    may_skip=
    e2e_tests platforms "${platforms[@]}"
}

travel() {
    may_skip=
    for environment in "${environments[@]}"; do
        tests stage "travel-${environment##*/}" "$environment" -n 2 --dist worksteal "${travel[@]}"
    done
}

release() {
    may_skip=
    e2e_tests release "${release[@]}"
}

# What docs/security.md says, by the tests that it names.
security() {
    may_skip=
    mapfile -t named < <(grep -o 'tests/[a-z0-9_/]*\.py' docs/security.md | sort -u)
    e2e_tests security "${named[@]}"
}

# Virtual machines that boot whole systems: a command of its own, for time.
guests() {
    e2e_tests guests tests/e2e/test_{demo,disk,numbers_nfs,proxmox}.py
}

# What others wrote for Kadeploy and Grid'5000, as it is, on the stand-ins, and on deployments: from an environment of its own.
clients() {
    local environment=.cache/clients
    stage clients-setup tests/tools/environment.sh "$environment" requirements-clients.txt 3.11 3.13
    tests stage clients "$environment" -c /dev/null -p no:cacheprovider tests/clients
}

# Machines of the stand-in for Kadeploy that boot what is deployed.
machines() {
    tests stage machines "$newest" tests/machines
}

# Plays that were there before, on every supported ansible-core.
sealed() {
    for environment in "${environments[@]}"; do
        tests stage "sealed-${environment##*/}" "$environment" tests/sealed tests/e2e/test_sealed.py
    done
}

# Machines that boot as a deployer of others leaves them.
boot() {
    tests stage boot "$newest" tests/boot
}

# A machine that runs another Linux, and starts nodes with kexec; emulated.
kexec() {
    may_skip=
    tests stage kexec "$newest" --durations=10 tests/kexec
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

# A Nixpkgs, which the newest Nix of the chroots evaluates.
nixpkgs() {
    stage chroots tests/tools/chroots.sh forky
    stage nixpkgs tests/tools/with_nix.sh forky python -m pytest --junit-xml="$output/nixpkgs.xml" -n 2 tests/nixpkgs
}

# A real OAR, of Debian 12; and the demo that has one of its own.
oar() {
    trap 'tests/tools/oar.sh down' EXIT
    stage oar-up tests/tools/oar.sh up
    tests stage oar "$newest" tests/oar
    stage demo-kadeploy env PYTHONPATH=.cache/collections:tests/e2e python tests/tools/demo_kadeploy.py
}

# The set-up of AWX against what a real one has answered, and syncs and jobs as it runs them, in an environment of their own.
awx() {
    may_skip=
    stage awx-setup tests/tools/awx.sh .cache/awx
    tests stage awx "$newest" --durations=10 tests/awx
}

# Trials on containers, one after the other.
experiment() {
    may_skip=
    tests stage experiment "$newest" --durations=0 "${experiments[@]}"
}

# The examples, one after the other: each has half a dozen containers.
compositions() {
    may_skip=
    tests stage compositions "$newest" --durations=0 "${compositions[@]}"
}

# Many nodes, on a machine that does nothing else.
drift() {
    may_skip=
    tests stage drift "$newest" --durations=0 -rP tests/drift
}

# What people read in a browser: the page of a deployment, and the site of the manual. Each tool has an environment of its own.
report() {
    may_skip=
    local environment=.cache/report
    stage chromium tests/tools/chromium.sh
    stage report-setup tests/tools/environment.sh "$environment" requirements-report.txt 3.13 3.11
    stage docs-site tests/tools/site.sh .cache/site
    tests stage report "$environment" --durations=3 -rP tests/report
}

# Whatever is read, in many thousand forms that are wrong.
fuzz() {
    may_skip=
    tests stage fuzz "$newest" -n 2 --dist worksteal tests/fuzz
}

# Kills, power cuts and full disks at random moments, on real nodes.
chaos() {
    may_skip=
    tests stage chaos "$newest" -n 2 --dist loadgroup tests/chaos
}

# Somebody who has just cloned the repository, and follows README, tutorial and guides.
docs() {
    may_skip=
    tests stage docs "$newest" --durations=0 tests/docs
}

stage setup tests/tools/setup.sh test
mapfile -t environments < <(printf '%s\n' .cache/venv/3.* | sort -rV)  # the newest ansible-core first
newest=${environments[0]}
export PATH=$PWD/$newest/bin:$PATH

for part in "$@"; do
    case $part in
        static) static ;;
        unit) unit ;;
        sanity) sanity && continue ;;  # beside the next part
        smoke) smoke && continue ;;
        contract) contract && continue ;;  # what takes longer than that goes on beside the next
        backends) backends ;;
        e2e) e2e ;;
        damage) damage ;;
        images) images ;;
        platforms) platforms ;;
        travel) travel ;;
        release) release ;;
        security) security ;;
        guests) guests ;;
        clients) clients ;;
        machines) machines ;;
        sealed) sealed ;;
        boot) boot ;;
        kexec) kexec ;;
        tools) tools ;;
        nixpkgs) nixpkgs ;;
        oar) oar ;;
        awx) awx ;;
        compositions) compositions ;;
        drift) drift ;;
        experiment) experiment ;;
        report) report ;;
        fuzz) fuzz ;;
        chaos) chaos ;;
        docs) docs ;;
        *) echo "unknown part: $part" >&2 && exit 2 ;;
    esac
    gather
done
finish
