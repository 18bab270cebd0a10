# SPDX-License-Identifier: GPL-3.0-or-later
"""Experiments on real containers, by ``ansible-playbook``: sweeps, kills, failures, two runners, and refusals."""

from __future__ import annotations

import csv
import json
import time
import typing as t
from pathlib import Path

import pyarrow.parquet
import pytest
import yaml
from lab import PATIENCE, ROOT, Run
from tiny import Tiny

SCRIPT = """
for machine in machines:
    machine.succeed("test -e /etc/greeting")
record("nodes", len(machines))
record("size", int(app1.succeed("grep -o '\\"size\\": *[0-9]*' /run/compose/node.json | grep -o '[0-9]*'")), "MB")
app1.succeed(f"echo {label} >/tmp/label")
app1.copy_from_machine("/tmp/label", "raw")
"""
EXPERIMENT: dict[str, t.Any] = {
    "deployment": "one",
    "script": "measure.py",
    "changes": {"roles": {"app": "$clients"}, "parameters": {"size": "$size"}},
    "sweep": {"clients": [1, 2], "size": [7], "label": ["a"]},
}


class Site:
    """A lab with an experiment file."""

    def __init__(self, lab: Tiny) -> None:
        self.lab = lab
        self.results = lab.directory / "results" / "try"

    def write(self, text: str = SCRIPT, **changes: t.Any) -> Path:
        (self.lab.directory / "measure.py").write_text(text)
        path = self.lab.directory / "try.experiment.yml"
        path.write_text(yaml.safe_dump({**EXPERIMENT, **changes}, sort_keys=False))
        return path

    def args(self, *more: str) -> tuple[str, ...]:
        return ("-e", "experiment_file=try.experiment.yml", *more)

    def run(self, *more: str, expect: int = 0) -> Run:
        return self.lab.play("experiment", *self.args(*more), expect=expect)

    def rows(self) -> list[dict[str, str]]:
        with open(self.results / "results.csv", newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))

    def trials(self) -> list[dict[str, t.Any]]:
        found = [json.loads(path.read_text()) for path in self.results.glob("trials/*/trial.json")]
        return sorted(found, key=lambda trial: t.cast("str", trial["started"]))


@pytest.fixture(scope="module")
def site(tiny_of: t.Callable[..., Tiny]) -> Site:
    lab = tiny_of(1, 0)
    lab.drop_test_script()
    return Site(lab)


@pytest.fixture(autouse=True)
def results(site: Site, request: pytest.FixtureRequest) -> None:
    """Of its own for each test."""
    site.results = site.lab.directory / "results" / request.node.name
    args = site.args
    site.args = lambda *more: args("-e", f"experiment_results={site.results}", *more)  # type: ignore[method-assign]


def test_what_cannot_work_is_refused_before_anything_is_touched(site: Site) -> None:
    for changes, why in (
        ({"deployment": "oen"}, "the inventory has no deployment 'oen'; did you mean 'one'"),
        (
            {"changes": {"roles": {"ap": "$clients"}, "parameters": {"size": "$size"}}},
            "'ap' is not a role of the composition; did you mean 'app'",
        ),
        (
            {"changes": {"role": "$clients", "parameters": {"size": "$size"}}},
            "'role' is not a key of a deployment file; did you mean 'roles'",
        ),
        ({"changes": {}}, "sweep.clients: nothing uses this parameter"),
        (
            {"sweep": {**EXPERIMENT["sweep"], "app1": [1]}},
            "sweep.app1: clients=1 size=7 label=a app1=1: in the script, app1 is the node 'app1' of the deployment",
        ),
        ({"script": "none.py"}, "none.py: cannot be read"),
    ):
        site.write(**t.cast("dict[str, t.Any]", changes))
        assert why in site.run(expect=2).output
    for script, why in (
        ("record(", "measure.py, line 1: '(' was never closed"),
        (f"import pandas_of_nobody\n{SCRIPT}", "script: line 1: there is no module 'pandas_of_nobody' for "),
        (f"{SCRIPT}\nap1.succeed('true')", "'ap1' is neither a node of the deployment nor defined"),
        (f"{SCRIPT}\napp2.succeed('true')", "clients=1 size=7 label=a: testScript, line 9: 'app2' is neither"),
    ):
        site.write(script)
        assert why in site.run(expect=2).output
    site.write()
    assert "run it without --limit" in site.run("--limit", "deployment_one", expect=4).output
    assert site.run("--limit", "localhost,deployment_one", "--check").returncode == 0
    inside = site.lab.composition / "results"
    assert "lies in the composition" in site.run("-e", f"experiment_results={inside}", expect=2).output
    assert not site.results.exists() and not inside.exists()
    assert site.lab.nodes() == []


def test_nothing_is_wrong_with_the_example(site: Site) -> None:
    example = ROOT / "examples/experiment"
    inventory, site.lab.inventory = site.lab.inventory, example / "inventory"
    try:
        run = site.lab.play(
            "experiment",
            *("--check", "-v", "-e", f"experiment_file={example}/fs.experiment.yml"),
            *("-e", f"experiment_results={site.results}"),
        )
    finally:
        site.lab.inventory = inventory
    assert run.output.count("file_system=") == 36 and not site.results.exists()


def test_a_sweep(site: Site) -> None:
    site.write()
    assert "left" not in site.run("--check").recap
    assert not site.results.exists()
    run = site.run()
    assert run.changed == 1
    assert [(row["clients"], row["name"], row["value"], row["unit"]) for row in site.rows()] == [
        ("1", "nodes", "1.0", ""),
        ("1", "size", "7.0", "MB"),
        ("2", "nodes", "2.0", ""),
        ("2", "size", "7.0", "MB"),
    ]
    assert {"immutable.compose=" in row["tools"] for row in site.rows()} == {True}
    image = site.lab.read_release()["images"]["app"]
    assert {row["images"] for row in site.rows()} == {f"app={image}"}
    stored = pyarrow.parquet.read_table(site.results / "results.parquet")
    assert [row["value"] for row in stored.to_pylist()] == [1.0, 7.0, 2.0, 7.0]
    assert {path.read_text() for path in site.results.glob("trials/*/files/raw/label")} == {"a\n"}

    assert "2 of 2 trials" in (site.results / "report.html").read_text()

    # The same again, from the copies: the same images.
    inventory, site.lab.inventory = site.lab.inventory, site.results / "replay" / "inventory"
    try:
        site.lab.play(site.results / "replay.yml")
    finally:
        site.lab.inventory = inventory
    with open(site.results / "replay/results/results.csv", newline="", encoding="utf-8") as stream:
        again = list(csv.DictReader(stream))
    keys = ("clients", "name", "value", "images", "digest")
    assert [[row[key] for key in keys] for row in again] == [[row[key] for key in keys] for row in site.rows()]

    assert site.run().changed == 0
    assert "has the results of another script" in _refused(site, "pass\n" + SCRIPT)
    # What needs the same nodes is not deployed again, but measured.
    boots = site.lab.boots()
    site.write(sweep={"clients": [1, 2], "size": [7], "label": ["a", "b", "c"]})
    site.run()
    assert [(trial["combination"]["label"], trial["deployed"]) for trial in site.trials()[-2:]] == [
        ("b", True),
        ("c", False),
    ]
    # The script follows a deploy, which has looked at the nodes, or the built-in checks.
    outputs = [(site.results / "trials" / trial["id"] / "output.txt").read_text() for trial in site.trials()[-2:]]
    assert [output.partition("PLAY [Measure]")[2].count("verify app1: ok") for output in outputs] == [0, 1]
    assert len(site.rows()) == 12
    assert boots["app1"] == site.lab.boots()["app1"]


def _refused(site: Site, script: str) -> str:
    site.write(script)
    output = site.run(expect=2).output
    site.write()
    return output


@pytest.mark.parametrize("alone", [False, True])
def test_a_run_that_was_killed_is_gone_on_with(site: Site, alone: bool) -> None:
    site.write(sweep={"clients": [1], "size": [7], "label": ["a", "b", "c"]})
    site.lab.kill_when("trial 2 of 3", "experiment", *site.args(), alone=alone)
    time.sleep(2)  # then what it has started has ended, too
    first = site.trials()
    assert [trial["combination"]["label"] for trial in first] == ["a"]
    run = site.run()
    assert [line.split("compose | ")[1] for line in run.said(" of 3: ")] == [
        "trial 2 of 3: clients=1 size=7 label=b",
        "trial 3 of 3: clients=1 size=7 label=c",
    ]
    assert site.trials()[0] == first[0]
    assert len(site.rows()) == 6


def test_what_fails_is_told_and_tried_again(site: Site) -> None:
    flag = site.lab.directory / "flag"
    script = SCRIPT + f"\nimport os\nassert label != 'b' or os.path.exists('{flag}'), 'not yet'"
    site.write(script, sweep={"clients": [1], "size": [7], "label": ["a", "b", "c"]}, retries=1)
    output = site.run(expect=2).output
    assert "1 trials failed; the same command tries them again" in output and "not yet" in output
    assert [(trial["ok"], trial["attempts"]) for trial in site.trials()] == [(True, 1), (False, 2), (True, 1)]
    assert [row["ok"] for row in site.rows() if row["label"] == "b"] == ["false", "false"]
    flag.touch()
    assert len(site.run().said(" of 3: ")) == 1
    assert {trial["ok"] for trial in site.trials()} == {True}
    assert {row["ok"] for row in site.rows()} == {"true"}


def test_nothing_a_script_does_stops_the_trials_after_it(site: Site) -> None:
    script = """
record("replicas", str(replicas))
record("word", word)
app1.succeed("echo its own >/tmp/output.txt")
app1.copy_from_machine("/tmp/output.txt")
if replicas == 2:  # the machine dies, and nobody is told
    app1.execute("systemctl start --no-block power''off.target")
    app1.sleep(1000)
"""
    braces = "{{ 1 + 1 }}{% x"
    site.write(
        script,
        changes={"parameters": {"replicas": "$replicas", "fs": "$fs"}},
        sweep={"fs": {"nfs": {}, "ceph": {"replicas": [2, 3]}}, "word": [braces]},
    )
    assert site.run(expect=2).seconds < 900, "which is less than the sleep"
    told = {record["value"] for trial in site.trials() for record in trial["records"]}
    assert told == {"None", "2", "3", braces}
    assert [trial["ok"] for trial in site.trials()] == [True, False, True]
    assert [trial["changes"]["parameters"] for trial in site.trials()][:2] == [
        {"fs": "nfs"},
        {"fs": "ceph", "replicas": 2},
    ]
    directories = [site.results / "trials" / trial["id"] for trial in site.trials()]
    assert {(path / "files" / "output.txt").read_text() for path in directories} == {"its own\n"}
    assert all("PLAY [Measure]" in (path / "output.txt").read_text() for path in directories)


def test_it_stops_where_the_file_says_so(site: Site) -> None:
    site.write(
        "assert label != 'a'\nprint(size)", sweep={"clients": [1], "size": [7], "label": ["a", "b"]}, on_failure="stop"
    )
    site.run(expect=2)
    assert len(site.trials()) == 1


def test_a_trial_has_its_time(site: Site) -> None:
    site.write(
        "import time\ntime.sleep(600)\nprint(label, size)",
        sweep={"clients": [1], "size": [7], "label": ["a"]},
        time_limit=5,
    )
    run = site.run(expect=2)
    assert "took longer than 5 s" in run.output
    assert run.seconds < 120


def test_others_are_stopped_before_a_trial(site: Site) -> None:
    site.lab.write_two(roles={"app": ["other"]})
    site.write(
        "machines[0].succeed('true')",
        deployment="$which",
        changes={},
        sweep={"which": ["one", "two"]},
        others="destroy",
    )
    site.run()
    assert [trial["ok"] for trial in site.trials()] == [True, True]
    assert site.lab.running() == {"other"}
    site.lab.play("destroy", "-e", '{"compose_data": true}', "--limit", "deployment_two")
    site.lab.write_two(roles={"app": 0})


def test_two_runners_share_the_trials(site: Site) -> None:
    site.write(
        sweep={"clients": [1], "size": [7], "label": list("abcdef")},
        runners={"left": {}, "right": {"name": "right", "network": "10.89.0.0/16"}},
    )
    assert "expected 'experiment_runner'" in site.run(expect=2).output
    both = [site.lab.start("experiment", *site.args("-e", f"experiment_runner={name}")) for name in ("left", "right")]
    try:
        outputs = [process.communicate(timeout=2 * PATIENCE)[0] for process in both]
        assert [process.returncode for process in both] == [0, 0], "\n".join(outputs)
        assert sorted(trial["combination"]["label"] for trial in site.trials()) == list("abcdef")
        assert {trial["runner"] for trial in site.trials()} == {"left", "right"}
        assert len(site.rows()) == 12
    finally:
        changes = json.dumps({"compose_changes": {"one": {"name": "right", "network": "10.89.0.0/16"}}})
        site.lab.play("destroy", "-e", changes, "-e", '{"compose_data": true}', "--limit", "deployment_right")
