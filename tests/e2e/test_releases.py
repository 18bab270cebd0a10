# SPDX-License-Identifier: GPL-3.0-or-later
"""A release says what each node runs: also of those that wait for their turn in a rollout."""

from __future__ import annotations

import typing as t

import pytest
from tiny import SCRIPT, Tiny


@pytest.fixture(scope="module")
def lab(tiny_of: t.Callable[..., Tiny]) -> Tiny:
    lab = tiny_of(2, ["other"])
    (lab.inventory / "two.compose.yml").unlink()
    lab.play("deploy")
    return lab


def means(lab: Tiny, number: int) -> None:
    """From now on the composition means another image."""
    lab.write(setup={"v": number})


def recorded(lab: Tiny) -> dict[str, str]:
    """Node → identity of its image, as the current release has it."""
    release = lab.read_release()
    return {node: release["node_images"].get(node, release["images"][role]) for node, role in release["nodes"].items()}


def greetings(lab: Tiny) -> dict[str, str]:
    return {node: lab.on(node, "cat /etc/greeting").strip() for node in ("app1", "app2")}


def test_a_canary_is_recorded_and_the_other_node_keeps_its_image(lab: Tiny) -> None:
    first = lab.images()
    means(lab, 2)
    lab.play("deploy", "--limit", "app1", "-e", "compose_serial=1")
    assert greetings(lab) == {"app1": "v2", "app2": "v1"}
    assert recorded(lab) == lab.images() and lab.images()["app2"] == first["app2"]
    done = lab.play("verify")
    assert done.said("verify: not of release 2, but on what was verified before: app2")


def test_a_run_that_fails_takes_each_back_to_what_it_really_ran(lab: Tiny) -> None:
    before, release = lab.images(), lab.release()
    means(lab, 3)
    lab.script("assert False, 'no'")
    done = lab.play("deploy", expect=2)
    assert {host for host, counts in done.recap.items() if counts["failed"]} == {"app1", "app2"}
    assert lab.images() == before == recorded(lab)
    assert lab.release() == release
    lab.script(SCRIPT)


def test_a_release_in_the_middle_of_a_rollout_is_gone_back_to(lab: Tiny) -> None:
    canary, number = lab.images(), lab.release()
    lab.write(keep=2)
    means(lab, 4)
    lab.play("deploy", "-e", "compose_serial=1")
    assert greetings(lab) == {"app1": "v4", "app2": "v4"} and lab.read_release()["node_images"] == {}
    assert all((lab.state / "roots" / identity).exists() for identity in canary.values())
    lab.play("rollback", "-e", f"compose_release={number}")
    assert lab.images() == canary == recorded(lab)
    assert lab.play("verify").recap["app2"]["failed"] == 0
