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
MINE = {"app1", "app2"}
LISTS = ("replaced", "kept", "failed")
#: It makes nodes fail their checks.
BROKEN = """
    units."broken.service".text = ''
      [Service]
      Type=oneshot
      ExecStart=/bin/sh -c 'echo no disk is left; exit 3'

      [Install]
      WantedBy=multi-user.target
    '';
    volumes.data = {"""


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


def follow(control: Control, lab: Tiny) -> None:
    """What somebody does who has changed a composition: they evaluate it, and AWX syncs."""
    lab.play("evaluate")
    assert control.sync().ok


def greetings(lab: Tiny) -> set[str]:
    """Of the nodes whose composition changes."""
    return {lab.on(node, "cat /etc/greeting").strip() for node in MINE}


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


def test_a_changed_composition_boots_its_nodes(control: Control, lab: Tiny) -> None:
    lab.edit('"v$', '"w$')
    follow(control, lab)
    planned = control.job("plan")
    assert planned.ok and fates(planned)["replaced"] == MINE and greetings(lab) == {"v1"}
    done = control.job("deploy")
    assert done.ok, done.output
    assert fates(done) == {"replaced": MINE, "kept": {"other"}, "failed": set()}
    assert done.artifacts["immutable_release"] == {"one": 2, "two": 1}
    assert done.counted("changed") == MINE and greetings(lab) == {"w1"}


def test_nodes_that_fail_a_check_go_back_and_the_job_says_why(control: Control, lab: Tiny) -> None:
    lab.edit("volumes.data = {", BROKEN)
    follow(control, lab)
    done = control.job("deploy")
    lab.edit(BROKEN, "volumes.data = {")
    follow(control, lab)
    assert not done.ok
    assert fates(done) == {"replaced": set(), "kept": {"other"}, "failed": MINE}
    assert done.artifacts["immutable_release"] == {"one": 2, "two": 1}
    assert set(done.failed) == done.counted("failures") == MINE
    for result in done.failed.values():
        assert "broken.service (exit-code, status 3: no disk is left)" in result["msg"]
        assert result["evidence"]["checks"] == ["units"]
        assert "systemd" in result["evidence"]["journal"] and "broken.service" in result["evidence"]["console"]
    assert greetings(lab) == {"w1"} and control.job("verify").ok


def test_a_rollback_boots_what_was_released_before(control: Control, lab: Tiny) -> None:
    done = control.job("rollback", compose_release="1")
    assert done.ok, done.output
    assert fates(done) == {"replaced": MINE, "kept": {"other"}, "failed": set()}
    assert greetings(lab) == {"v1"}


def test_a_host_that_is_switched_off_stays_as_it_is(control: Control, lab: Tiny) -> None:
    """It was rolled back, so a deploy would boot both."""
    before = lab.boot_of("app2")
    done = control.job("deploy", off={"app2"})
    assert done.ok, done.output
    assert "left as they are: app2" in done.output
    assert fates(done) == {"replaced": {"app1"}, "kept": {"other"}, "failed": set()}
    assert lab.boot_of("app2") == before and lab.peers("app1") == MINE
    assert fates(control.job("deploy"))["replaced"] == {"app2"}


def test_a_slice_is_about_its_hosts_only(control: Control, lab: Tiny) -> None:
    before = {node: lab.boot_of(node) for node in NODES}
    done = control.job("deploy", slices=2, compose_replace="app1")
    assert done.ok, done.output
    assert fates(done) == {"replaced": {"app1"}, "kept": set(), "failed": set()}
    changed = {node for node, boot in before.items() if lab.boot_of(node) != boot}
    assert changed == {"app1"} and lab.running() == NODES and lab.peers("app1") == MINE
