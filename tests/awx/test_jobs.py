# SPDX-License-Identifier: GPL-3.0-or-later
"""Syncs and jobs as AWX runs them: by ansible-runner, in a root with nothing but what an execution environment has."""

from __future__ import annotations

import typing as t

import pytest
import yaml
from builder import NAME, builder_of
from tiny import Tiny, tiny

from .control import Control, Job

#: The nodes of both deployments.
NODES = {"app1", "app2", "other"}
LISTS = ("replaced", "kept", "failed")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Tiny]:
    lab = tiny(tmp_path_factory.mktemp("tiny"), 2, {"names": ["other"]})
    with builder_of(lab):
        (lab.inventory / "group_vars").mkdir()
        (lab.inventory / "group_vars" / "all.yml").write_text(yaml.safe_dump({"compose_host": NAME}))
        yield lab
        lab.play("destroy", "-e", '{"compose_data": true}')


@pytest.fixture(scope="module")
def control(lab: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Control:
    """AWX, with the inventory synced."""
    control = Control(lab, tmp_path_factory.mktemp("awx"))
    lab.play("evaluate")
    assert control.sync().ok
    return control


def fates(job: Job) -> dict[str, set[str]]:
    return {name: set(job.artifacts[f"immutable_{name}"]) for name in LISTS}


def test_a_typo_deletes_no_host(control: Control, lab: Tiny) -> None:
    before = control.inventory
    path = lab.inventory / "lab.compose.yml"
    good = path.read_text()
    path.write_text(good.replace("platform: nspawn", "platfrom: nspawn"))
    failed = control.sync()
    path.write_text(good)
    assert not failed.ok and "platfrom" in failed.output
    assert control.inventory == before
    assert control.sync().ok and control.inventory == before


def test_a_stale_composition_deletes_no_host(control: Control, lab: Tiny) -> None:
    before = control.inventory
    lab.edit("or 1", "or 2")
    stale = control.sync()
    lab.edit("or 2", "or 1")
    assert not stale.ok and "immutable.compose.evaluate" in stale.output
    assert control.inventory == before
    assert control.sync().ok


def test_nodes_are_made_and_then_nothing_changes(control: Control) -> None:
    assert NODES | {NAME} == set(control.hosts)
    assert "__ansible_unsafe" not in str(control.inventory)
    done = control.job("deploy")
    assert done.ok, done.output
    assert fates(done) == {"replaced": NODES, "kept": set(), "failed": set()}
    for playbook in ("deploy", "plan", "verify"):
        done = control.job(playbook)
        assert done.ok, done.output
        assert fates(done) == {"replaced": set(), "kept": NODES, "failed": set()}
