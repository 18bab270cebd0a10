# SPDX-License-Identifier: GPL-3.0-or-later
"""Absence is not removal: what a job does not know, or nobody named, stays as it is."""

from __future__ import annotations

import typing as t

import pytest
from tiny import Tiny

pytestmark = pytest.mark.story

PEERS = {"app1", "app2", "app3"}


@pytest.fixture(scope="module")
def lab(tiny_of: t.Callable[..., Tiny]) -> Tiny:
    lab = tiny_of(3, ["other"])
    lab.play("deploy")
    for node in (*PEERS, "other"):
        lab.on(node, "hostname >/srv/data/marker")
    return lab


@pytest.fixture
def job(lab: Tiny) -> t.Iterator[Tiny]:
    """A job whose inventory lacks one host of one deployment."""
    mine, lab.inventory = lab.inventory, lab.handed("app2")
    yield lab
    lab.inventory = mine


def markers(lab: Tiny) -> set[str]:
    """Nodes whose data are there."""
    return {path.parts[-3] for path in lab.state.parent.glob("*/volumes/*/data/marker")}


def test_a_job_that_knows_fewer_hosts_retires_none(job: Tiny) -> None:
    boots = {node: job.boot_of(node) for node in PEERS}
    for playbook, *args in (("plan",), ("deploy", "--check"), ("deploy",)):
        done = job.play(playbook, *args)
        assert done.said("not in the inventory of this run, and left as they are: app2")
        assert not done.said("retire")
    assert done.changed == 0
    assert {node: job.boot_of(node) for node in PEERS} == boots
    assert job.peers("app1") == PEERS


def test_a_changed_node_keeps_all_its_peers(job: Tiny) -> None:
    done = job.play("deploy", "-e", '{"compose_replace": ["app1"]}')
    assert done.said("plan: replace app1: asked for")
    assert job.peers("app1") == job.peers("app2") == PEERS


def test_a_job_destroys_its_own_hosts_only(job: Tiny) -> None:
    named = ("-e", '{"compose_data": true}', "--limit", "app1,app3")
    pretended = job.play("destroy", "--check", *named)
    assert job.running() == {*PEERS, "other"} and markers(job) == {*PEERS, "other"}
    for node in ("app1", "app3"):
        assert pretended.said(f"destroy {node}: removes its data volume 'data'")
    assert not pretended.said("destroy app2")
    done = job.play("destroy", *named)
    assert done.said("left as they are: app2")
    assert job.running() == {"app2", "other"} and markers(job) == {"app2", "other"}
    assert job.on("app2", "cat /srv/data/marker") == "app2\n"


def test_all_hosts_that_a_job_has_are_not_all_members(job: Tiny) -> None:
    job.play("destroy", "-e", '{"compose_data": true}', "--limit", "app1,app3")
    assert job.running() == {"app2", "other"} and "app2" in markers(job)
    job.play("deploy")
    assert job.running() == {*PEERS, "other"}


def test_data_go_only_with_a_node_that_was_named(lab: Tiny) -> None:
    lab.on("app2", "hostname >/srv/data/marker")
    lab.write(roles={"app": 1})
    shown = lab.play("plan")
    assert shown.said("plan: retire app2: not part of the deployment any more; its data stay")
    assert "app3: nothing (retire" in shown.output
    lab.play("deploy")
    assert lab.running() == {"app1", "other"} and "app2" in markers(lab)
    data = ("-e", '{"compose_data": true}', "--limit", "app1")
    assert "app2: removes" not in lab.play("destroy", "--check", *data).output
    lab.play("destroy", *data)
    assert lab.running() == {"other"} and "app2" in markers(lab)
    lab.write(roles={"app": ["app2"]})
    lab.play("deploy")
    assert lab.on("app2", "cat /srv/data/marker") == "app2\n"


def test_what_was_retired_nowhere_goes_with_the_last_member_but_not_its_data(lab: Tiny) -> None:
    lab.write(roles={"app": ["app9"]})
    done = lab.play("destroy", "-e", '{"compose_data": true}', "--limit", "deployment_one")
    assert done.said("destroy app2: keeps its data volume 'data'") and done.said("destroy app2: done")
    assert lab.running() == {"other"} and "app2" in markers(lab)
