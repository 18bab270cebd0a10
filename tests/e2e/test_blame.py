# SPDX-License-Identifier: GPL-3.0-or-later
"""One bad node is one bad node: who fails, who is healed, who goes back, and what is left behind."""

from __future__ import annotations

import typing as t

import pytest
from tiny import SCRIPT, Tiny

pytestmark = pytest.mark.story

ILL = "systemd-run --quiet --unit=nightly-backup false; sleep 0.5"
#: A unit that fails at each boot of the node with this name; it lies on the volume, which outlives images.
LASTING = "mkdir -p /srv/data/ill && hostname >/srv/data/ill/host"


@pytest.fixture(scope="module")
def lab(tiny_of: t.Callable[..., Tiny]) -> Tiny:
    lab = tiny_of(2, ["other"])
    lab.play("deploy")
    return lab


def test_a_node_that_is_ill_on_the_right_image_is_healed(lab: Tiny) -> None:
    lab.on("app1", ILL)
    boots = {node: lab.boot_of(node) for node in ("app1", "app2", "other")}
    done = lab.play("deploy")
    assert done.said("booting again, because they run what they should and are not well: app1")
    after = {node: lab.boot_of(node) for node in boots}
    assert {node for node in boots if boots[node] != after[node]} == {"app1"}
    # Fleet tasks count for the first host of the batch.
    assert {host: counts["changed"] > 0 for host, counts in done.recap.items()} == {
        "app1": True,
        "app2": False,
        "other": False,
    }
    assert lab.play("deploy").changed == 0


def test_a_changed_node_that_a_test_script_finds_is_healed(lab: Tiny) -> None:
    lab.on("app2", "rm /etc/greeting")
    lab.play("deploy")
    assert lab.on("app2", "cat /etc/greeting") == "v1\n"


def test_new_capacity_stays_when_another_was_ill_before(lab: Tiny) -> None:
    lab.script("for machine in machines: machine.succeed('test ! -e /srv/data/ill')")
    lab.on("app1", LASTING)
    lab.write(roles={"app": 3})
    lab.script(SCRIPT)
    lab.on("app1", "systemctl mask --runtime --now ssh.socket; " + ILL)
    done = lab.play("deploy", expect=None)
    failed = {host for host, counts in done.recap.items() if counts["failed"]}
    assert failed <= {"app1"}
    assert "app3" in lab.running() and lab.peers("app2") == {"app1", "app2", "app3"}


def test_replace_is_a_word_that_counts(lab: Tiny) -> None:
    boots = {node: lab.boot_of(node) for node in ("app1", "app2")}
    lab.play("deploy", "-e", "compose_replace=app2")
    assert lab.boot_of("app1") == boots["app1"] and lab.boot_of("app2") != boots["app2"]
    assert "did you mean 'app2'" in lab.play("deploy", "-e", '{"compose_replace": ["apq2"]}', expect=2).output


def test_a_failed_scale_out_leaves_nothing_behind(lab: Tiny) -> None:
    lab.play("deploy")
    peers, boots = lab.peers("app1"), {node: lab.boot_of(node) for node in ("app1", "app2", "app3")}
    lab.write(roles={"app": 4})
    lab.script("assert len(machines) < 4, 'no room'")
    done = lab.play("deploy", expect=2)
    assert {host for host, counts in done.recap.items() if counts["failed"]} == {"app4"}
    assert "app4" not in lab.running()
    assert lab.peers("app1") == peers
    assert {node: lab.boot_of(node) for node in boots} == boots
    lab.write(roles={"app": 3})
    lab.script()
    assert not lab.play("plan").said("plan: refresh")
    lab.play("deploy")
    assert lab.play("deploy").changed == 0


def test_what_failed_can_be_kept_and_looked_at(lab: Tiny) -> None:
    lab.play("deploy")
    released = lab.release()
    lab.write(setup={"v": 7})
    lab.script("app1.succeed('grep v1 /etc/greeting')")
    done = lab.play("deploy", "-e", '{"compose_keep_failed": true}', expect=2)
    assert lab.on("app1", "cat /etc/greeting") == "v7\n" and lab.release() == released
    assert "left as it is (compose_keep_failed). Log in: ssh -F" in done.output
    lab.on("app1", ILL)
    assert lab.play("verify", expect=2).said("failed units: nightly-backup.service")
    lab.write(setup={"v": 1})
    lab.script()
    lab.play("rollback", "--limit", "deployment_one")
    assert lab.on("app1", "cat /etc/greeting") == "v1\n"


def test_any_script_can_be_run_on_what_runs(lab: Tiny) -> None:
    script = lab.directory / "mine.py"
    script.write_text("app1.succeed('true')\napp2.succeed('grep nothing /etc/greeting')\n")
    boots = {node: lab.boot_of(node) for node in ("app1", "app2")}
    one = ("-e", f"compose_script={script}", "--limit", "deployment_one")
    done = lab.play("script", *one, expect=2)
    assert done.recap["app2"]["failed"] == 1 and done.recap["app1"]["failed"] == 0
    assert {node: lab.boot_of(node) for node in boots} == boots
    script.write_text("app1.succeed('true')\n")
    lab.play("script", *one)
    assert (lab.state / "results" / "script" / "results.json").exists()
