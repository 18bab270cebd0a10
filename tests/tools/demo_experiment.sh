#!/usr/bin/env bash
# An experiment of 36 trials on three file systems, which is killed in the middle and gone on with; ends with its page.
# Usage: demo_experiment.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/tools/preflight.sh
files=examples/experiment results=.cache/experiment
# The trial in which the first run is killed.
middle='trial 18 of 36'

# Nine images, what they are made of, and data of the machines.
problem=$(without_room 8000 "$([ -d /nix ] && echo /nix || echo /)")
[ -z "$problem" ] || { printf 'make demo-experiment cannot go on:\n- %s\n' "$problem" >&2; exit 1; }
echo "NFS, GlusterFS and CephFS with one and two clients and blocks of 4 KiB and 1 MiB, three times each, on this computer.
In $middle, the run is killed; the next one goes on with what is left.
"
venv=$PWD/$(printf '%s\n' .cache/venv/3.* | sort -rV | head -n 1)
"$venv/bin/python" -c 'import execo_engine, pyarrow, vl_convert' 2>/dev/null ||
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements-experiment.txt

# play PLAYBOOK ARGUMENT...
play() {
    env PATH="$venv/bin:$PATH" ansible-playbook -i $files/inventory "playbooks/$1.yml" "${@:2}"
}
experiment=(experiment -e "experiment_file=$files/fs.experiment.yml" -e "experiment_results=$PWD/$results")

ended() {
    [ -z "${run:-}" ] || kill -KILL -- "-$run" 2>/dev/null || true
    echo '== stopping the machines'
    play destroy -e '{"compose_data": true}' >"$results.log" || cat "$results.log" >&2
}
trap ended EXIT

echo '== building the images'
play build
rm -rf "$results"
begin=$SECONDS
echo "== the experiment, until $middle"
set -m  # a process group of its own, of which nothing survives
play "${experiment[@]}" > >(tee "$results.log") &
run=$!
set +m
until grep -q "$middle" "$results.log" 2>/dev/null; do
    kill -0 "$run" || { echo "the experiment has ended before $middle" >&2; exit 1; }
    sleep 0.5
done
sleep 5  # somewhere in it
kill -KILL -- "-$run"
wait "$run" || true
run=
echo '== killed; what is left:'
play "${experiment[@]}"
grep -q '36 of 36 trials' $results/report.html
echo "== $((SECONDS - begin)) s for 36 trials; the page: $results/report.html, the table: $results/results.csv"
