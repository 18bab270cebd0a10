# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of an experiment starts, and in which order."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.experiments import measured
from ansible_collections.immutable.compose.plugins.module_utils.experiments.results import Results
from ansible_collections.immutable.compose.plugins.module_utils.experiments.runner import Outcome, Runner
from ansible_collections.immutable.compose.plugins.module_utils.experiments.sharing import Sharing
from ansible_collections.immutable.compose.plugins.module_utils.experiments.trials import read
from ansible_collections.immutable.compose.plugins.module_utils.model.experiment import Measured
from ansible_collections.immutable.compose.plugins.module_utils.model.report import Provenance
from ansible_collections.immutable.compose.plugins.module_utils.process import Completed
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

Write = t.Callable[..., str]

SOURCE = Provenance("web", "d1", None, 1, "debian", "nspawn", "here", {}, {})


class Launched:
    """In place of ansible-playbook: writes down what was started, and what it would have measured."""

    def __init__(self, failing: t.Collection[str] = (), bad: t.Collection[str] = ()) -> None:
        self.played: list[str] = []
        self.told: list[dict[str, t.Any]] = []
        self._failing = failing
        #: Blocks with which nodes are not well without a deploy.
        self._bad = bad

    def __call__(self, playbook: str, variables: str, deployment: str) -> Completed:
        told = json.loads(Path(variables).read_text())
        self.played.append(" ".join([playbook, deployment, *(["deploys"] if told.get("trial_deploy") else [])]))
        if playbook == "trial":
            self.told.append(told)
            well = told["trial_deploy"] or told["trial_values"]["block"] not in self._bad
            measured.write(Measured(well, provenance=SOURCE if well else None), told["trial_directory"])
        code = 2 if f"{playbook} {deployment}" in self._failing else 0
        return Completed(code, "", "it has failed" if code else "")


def run(path: str, results: Path, launched: Launched) -> Outcome:
    subject = read(path)
    trials = subject.trials()
    ids = [trial.id for trial in trials]
    kept = Results(str(results), subject, ids)
    kept.claim()
    sharing = Sharing(kept.at("sharing"), "", ids, kept.done)
    try:
        return Runner(subject, trials, kept, sharing, launched, Progress(), tools={}).run()
    finally:
        sharing.close()


@pytest.fixture
def two(write: Write) -> t.Callable[..., str]:
    """An experiment on the deployments nfs and gluster, each of which two trials need."""

    def written(**changes: t.Any) -> str:
        sweep = {"file_system": ["nfs", "gluster"], "block": ["4k", "1M"]}
        return write("print(block)", deployment="$file_system", changes=None, sweep=sweep, **changes)

    return written


def test_what_needs_the_same_nodes_is_deployed_once(two: Write, tmp_path: Path) -> None:
    launched = Launched()
    outcome = run(two(), tmp_path / "results", launched)
    assert launched.played == ["trial nfs deploys", "trial nfs", "trial gluster deploys", "trial gluster"]
    assert len(outcome.done) == 4 and Path(outcome.page).name == "report.html"


def test_others_are_stopped_first_where_the_file_says_so(two: Write, tmp_path: Path) -> None:
    launched = Launched()
    run(two(others="destroy"), tmp_path / "results", launched)
    assert launched.played == [
        "destroy gluster",  # an earlier run may have left it
        "trial nfs deploys",
        "trial nfs",
        "destroy nfs",
        "trial gluster deploys",
        "trial gluster",
    ]


def test_a_trial_for_which_others_cannot_be_stopped_has_failed(two: Write, tmp_path: Path) -> None:
    launched = Launched(failing=["destroy gluster"])
    outcome = run(two(others="destroy", on_failure="stop"), tmp_path / "results", launched)
    assert launched.played == ["destroy gluster"]
    (message,) = outcome.failed.values()
    assert "destroy: ansible-playbook ended with exit code 2" in message and "it has failed" in message


def test_nodes_that_have_died_meanwhile_are_deployed_again(two: Write, tmp_path: Path) -> None:
    launched = Launched(bad=["1M"])
    outcome = run(two(), tmp_path / "results", launched)
    assert launched.played[:3] == ["trial nfs deploys", "trial nfs", "trial nfs deploys"]
    assert len(outcome.done) == 4


def test_a_deployment_is_known_by_the_name_that_it_gets(write: Write, tmp_path: Path) -> None:
    path = write("print(clients)", changes={"name": "lab-$block"}, sweep={"clients": [1], "block": ["a", "b"]})
    Path(path).write_text(Path(path).read_text() + "others: destroy\n")
    launched = Launched()
    run(path, tmp_path / "results", launched)
    assert launched.played == ["destroy lab-b", "trial lab-a deploys", "destroy lab-a", "trial lab-b deploys"]


def test_values_are_no_templates(two: Write, tmp_path: Path) -> None:
    launched = Launched()
    run(two(), tmp_path / "results", launched)
    path = tmp_path / "fs.experiment.yml"
    path.write_text(path.read_text().replace("4k", "'{{ 1 + 1 }}'"))
    run(str(path), tmp_path / "others", launched)
    assert launched.told[0]["trial_values"] == {"file_system": "nfs", "block": "4k"}
    assert launched.told[4]["trial_values"] == {"file_system": "nfs", "block": {"__ansible_unsafe": "{{ 1 + 1 }}"}}


def test_files_of_the_attempt_before_are_gone(two: Write, tmp_path: Path) -> None:
    launched = Launched()
    run(two(), tmp_path / "results", launched)
    files = Path(launched.told[0]["trial_files"])
    files.mkdir()
    (files / "old").touch()
    (files.parent / "trial.json").unlink()  # so it is measured again
    run(two(), tmp_path / "results", launched)
    assert not files.exists()
