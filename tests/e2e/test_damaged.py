# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys and files of the state directory that are lost: real nodes get new ones, and everything can be destroyed."""

from __future__ import annotations

import typing as t

import pytest
from tiny import Tiny


@pytest.fixture(scope="module")
def lab(tiny_of: t.Callable[..., Tiny]) -> Tiny:
    lab = tiny_of(2, ["other"])
    lab.play("deploy")
    return lab


def test_a_node_whose_host_key_is_damaged_gets_a_new_one(lab: Tiny) -> None:
    boots = {node: lab.boot_of(node) for node in ("app1", "app2", "other")}
    key = lab.state / "hostkeys/app1"
    key.write_bytes(key.read_bytes()[:100])
    run = lab.play("deploy")
    assert run.said(f"replace app1: its host key {key} is lost or damaged")
    assert {node for node, boot in boots.items() if lab.boot_of(node) != boot} == {"app1"}
    assert lab.play("deploy").changed == 0


def test_all_nodes_of_a_deployment_whose_keys_are_lost_get_the_new_ones(lab: Tiny) -> None:
    boots = {node: lab.boot_of(node) for node in ("app1", "app2", "other")}
    for name in ("ca", "ca.pub", "id_ed25519", "id_ed25519.pub"):
        (lab.state / name).unlink()
    assert lab.play("deploy", "--check").said("2 replace")
    assert not (lab.state / "id_ed25519").exists()
    lab.play("deploy")
    assert {node for node, boot in boots.items() if lab.boot_of(node) != boot} == {"app1", "app2"}
    assert lab.play("deploy").changed == 0


def test_a_ca_that_is_lost_alone_costs_no_boot(lab: Tiny) -> None:
    boots = {node: lab.boot_of(node) for node in ("app1", "app2")}
    (lab.state / "ca").unlink()
    lab.play("deploy")
    assert {node: lab.boot_of(node) for node in boots} == boots
    assert lab.play("deploy").changed == 0


def test_a_damaged_release_is_refused_before_anything_is_touched(lab: Tiny) -> None:
    boots = {node: lab.boot_of(node) for node in ("app1", "app2")}
    file = lab.state / f"releases/{lab.release()}.json"
    whole = file.read_bytes()
    file.write_bytes(b"")
    assert lab.play("deploy", "-e", "compose_replace=app1", expect=2).said(f"{file}: expected a JSON object")
    assert {node: lab.boot_of(node) for node in boots} == boots
    file.write_bytes(whole)


def test_destroy_comes_to_its_end(lab: Tiny) -> None:
    for name in ("addresses.json", "ca", "id_ed25519", "hostkeys/app2", "nodes/app1/current.json", "releases/current"):
        (lab.state / name).write_bytes(b"")
    (lab.state / "nodes/halfmade/in").mkdir(parents=True)
    lab.play("destroy")
    assert lab.running() == set() and not list((lab.state / "nodes").glob("*"))
