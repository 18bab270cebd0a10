# SPDX-License-Identifier: GPL-3.0-or-later
"""What it takes to run an experiment again."""

from __future__ import annotations

import typing as t
from dataclasses import replace
from pathlib import Path

import yaml

from ansible_collections.immutable.compose.plugins.module_utils.experiments.replay import Source, write_replay
from ansible_collections.immutable.compose.plugins.module_utils.experiments.trials import read


def test_it_has_all_that_was_there(write: t.Callable[..., str], tmp_path: Path) -> None:
    composition = tmp_path / "web"
    (composition / ".git").mkdir(parents=True)
    (composition / "composition.nix").write_text("{ }")
    (composition / "result").symlink_to("/usr")  # as `nix build` leaves it
    (composition / "result-old").symlink_to("/nowhere")
    file = tmp_path / "lab.compose.yml"
    file.write_text(
        "plugin: x\ncomposition: web  # here\nroles:\n  web:\n    secrets:\n      a: !vault |\n        $ANSIBLE\n"
    )
    subject, results = read(write()), tmp_path / "results"
    for _again in range(2):
        write_replay(str(results), subject, [Source(str(file), str(composition), str(tmp_path / "state/lab"))])
    text = (results / "replay/inventory/lab.compose.yml").read_text()
    composed = file.read_text().replace("web  # here", '"../compositions/lab/web"')
    assert text == f'{composed}state_dir: "{tmp_path}/state"\n'
    assert sorted(path.name for path in (results / "replay/compositions/lab/web").iterdir()) == ["composition.nix"]
    again = read(str(results / "replay/fs.experiment.yml"))
    assert (again.name, again.script) == (subject.name, subject.script)
    assert [trial.id for trial in again.trials()] == [trial.id for trial in subject.trials()]
    (play,) = yaml.safe_load((results / "replay.yml").read_text())
    assert play["roles"][0]["vars"]["experiment_file"] == "{{ playbook_dir }}/replay/fs.experiment.yml"


def test_values_are_the_same_again(write: t.Callable[..., str], tmp_path: Path) -> None:
    levels = [0.00001, 1e16, 1.0, 1, True, "1e3", "on", "010", "a: b", "\u00fc\n", "$x"]
    subject = read(write("print(block, other)", changes={}))
    sweep = {"block": levels, "other": {"no": {}, "1": {}}}
    subject = replace(subject, experiment=replace(subject.experiment, sweep=sweep))
    write_replay(str(tmp_path / "results"), subject, [])
    again = read(str(tmp_path / "results/replay/fs.experiment.yml"))
    assert again.experiment.sweep == subject.experiment.sweep
    assert [trial.id for trial in again.trials()] == [trial.id for trial in subject.trials()]


def test_files_of_the_same_name(write: t.Callable[..., str], tmp_path: Path) -> None:
    sources = []
    for name in ("nfs", "ceph"):
        (tmp_path / name / "web").mkdir(parents=True)
        (tmp_path / name / "web/composition.nix").write_text(name)
        file = tmp_path / name / "lab.compose.yml"
        file.write_text(f"name: {name}\ncomposition: web\n")
        sources.append(Source(str(file), str(file.parent / "web"), str(tmp_path / "state" / name)))
    write_replay(str(tmp_path / "results"), read(write()), sources)
    found = {}
    for path in (tmp_path / "results/replay/inventory").rglob("*.compose.yml"):
        content = yaml.safe_load(path.read_text())
        found[content["name"]] = (path.parent / content["composition"] / "composition.nix").read_text()
    assert found == {"nfs": "nfs", "ceph": "ceph"}
