# SPDX-License-Identifier: GPL-3.0-or-later
"""Hooks on real nodes, of one deployment of two: nobody is taken down in service, and nobody stays out of it."""

from __future__ import annotations

import json
import typing as t

import pytest
from schemas import check_state
from tiny import Tiny

pytestmark = pytest.mark.story

NODES = ("app1", "app2")
#: Notes what it did for whom, and the boot that the node had then. Waits, or fails, where a file says so.
HOOK = """
- name: Ask the node
  ansible.builtin.raw: cat /proc/1/stat
  register: boot
- name: Tell the proxy
  ansible.builtin.shell: >-
    test ! -e no-{{ compose_hook }}-{{ inventory_hostname }} || exit 1;
    test ! -e slow-{{ compose_hook }} || sleep 60;
    echo {{ compose_hook }} {{ inventory_hostname }} {{ boot.stdout.split()[21] }} >>told
  args: {chdir: "{{ inventory_dir }}/.."}
  delegate_to: localhost
"""


@pytest.fixture(scope="module")
def lab(tiny_of: t.Callable[..., Tiny]) -> Tiny:
    lab = tiny_of(2, ["other"])
    (lab.directory / "hook").mkdir()
    for name in ("drain", "undrain"):
        (lab.directory / f"hook/{name}").write_text(HOOK)
    lab.write(hooks={name: f"../hook/{name}" for name in ("drain", "undrain")}, at_most={"app": 1})
    lab.play("deploy")
    return lab


def told(lab: Tiny) -> list[str]:
    """Hook, node, and the boot that the node had then, in order, since the last time that this was asked."""
    path = lab.directory / "told"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def boot(lab: Tiny, node: str) -> str:
    """Changes with each boot of a node."""
    return lab.boot_of(node).strip()


def out(lab: Tiny) -> set[str]:
    return set(json.loads((lab.state / "out-of-service.json").read_text())["nodes"])


def test_new_nodes_are_put_into_service(lab: Tiny) -> None:
    assert sorted(told(lab)) == [f"undrain {node} {boot(lab, node)}" for node in NODES]
    assert out(lab) == set()


def test_each_is_drained_before_and_put_back_after_its_boot(lab: Tiny) -> None:
    before = {node: boot(lab, node) for node in NODES}
    lab.write(parameters={"replaced": 1})
    lab.play("deploy")
    after = {node: boot(lab, node) for node in NODES}
    assert told(lab) == [
        f"{hook} {node} {boots[node]}" for node in NODES for hook, boots in (("drain", before), ("undrain", after))
    ]
    assert not set(before.values()) & set(after.values())


def test_who_cannot_be_drained_is_not_touched(lab: Tiny) -> None:
    before = {node: boot(lab, node) for node in (*NODES, "other")}
    lab.write(parameters={"replaced": 2})
    lab.write_two(parameters={"replaced": 2})
    refusal = lab.directory / "no-drain-app1"
    refusal.touch()
    run = lab.play("deploy", expect=2)
    refusal.unlink()
    assert run.said("/hook/drain: Tell the proxy: ")
    assert [node for node, old in before.items() if boot(lab, node) != old] == ["other"]
    assert {node: counts["failed"] for node, counts in run.recap.items()} == {"app1": 1, "app2": 1, "other": 0}
    assert told(lab) == [f"undrain app1 {before['app1']}"] and out(lab) == set()


def test_what_a_killed_run_left_out_is_put_back_by_the_next_and_by_a_rollback(lab: Tiny) -> None:
    slow = lab.directory / "slow-undrain"
    slow.touch()
    for playbook, *args in (("deploy",), ("rollback", "-e", "compose_release=current")):
        lab.write(parameters={"replaced": playbook})
        lab.kill_when("verify app1: ok")  # it is to be put into service now
        assert out(lab) == {"app1"}
        slow.unlink()
        told(lab)
        lab.play(playbook, *args)
        assert out(lab) == set() and f"undrain app1 {boot(lab, 'app1')}" in told(lab)
        slow.touch()
    slow.unlink()


def test_what_lies_on_the_disk_fits_its_schema(lab: Tiny) -> None:
    assert "service" in check_state(lab.state)
