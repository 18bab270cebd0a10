# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs never interleave, and the steps of one run are done once, whatever the strategy."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import typing as t
from pathlib import Path

import pytest
from lab import descendants
from tiny import Tiny

#: Waits until a file is there.
SLOW = "[__import__('time').sleep(0.2) for dummy in iter(lambda: __import__('os').path.exists('{}'), True)]"


@pytest.fixture(scope="module")
def lab(tiny_of: t.Callable[..., Tiny]) -> Tiny:
    lab = tiny_of(2, ["other"])
    lab.play("deploy")
    return lab


@pytest.fixture
def at_work(lab: Tiny) -> t.Iterator[tuple[Tiny, subprocess.Popen[str], Path]]:
    """A deploy in the middle of its verification, which goes on as soon as the file is there."""
    go = lab.directory / "go"
    lab.script(SLOW.format(go))
    process = lab.start("deploy")
    assert process.stdout is not None
    for line in process.stdout:
        if "TASK [immutable.compose.deploy : Verify]" in line:
            break
    time.sleep(2)
    yield lab, process, go
    go.touch()
    process.communicate(timeout=120)
    go.unlink()
    lab.script()
    lab.play("deploy")


def test_who_comes_second_changes_nothing_and_hears_who_is_at_work(
    at_work: tuple[Tiny, subprocess.Popen[str], Path],
) -> None:
    lab, process, go = at_work
    boots = {node: lab.boot_of(node) for node in ("app1", "app2")}
    for playbook, *args in (("deploy", "-e", '{"compose_replace": ["app1"]}'), ("destroy",), ("build",), ("rollback",)):
        done = lab.play(playbook, *args, "--limit", "deployment_one", expect=2)
        assert f"process {process.pid}" in done.output and "nothing was changed" in done.output
    for playbook in ("plan", "verify"):
        if playbook == "verify":
            go.touch()
        assert lab.play(playbook, "--limit", "deployment_one").seconds < 60
    output, _errors = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert {node: lab.boot_of(node) for node in ("app1", "app2")} == boots
    assert lab.running() == {"app1", "app2", "other"}


def test_a_run_that_was_killed_holds_nothing(at_work: tuple[Tiny, subprocess.Popen[str], Path]) -> None:
    lab, process, go = at_work
    # Only the run itself: its module goes on, as it would on another host.
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    go.touch()
    lab.script()
    started = time.monotonic()
    done = lab.play("deploy")
    assert time.monotonic() - started < 60 and done.returncode == 0
    assert not [pid for pid in descendants(os.getpid()) if pid == process.pid]


def test_every_playbook_pins_its_strategy(lab: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    for strategy in ("free", "host_pinned"):
        environment = lab.environment
        monkeypatch.setattr(lab, "environment", lambda: {**environment(), "ANSIBLE_STRATEGY": strategy})  # noqa: B023
        boot = lab.boot_of("app2")
        done = lab.play("deploy", "-e", '{"compose_replace": ["app1"]}')
        monkeypatch.undo()
        assert len(done.said("switch app1: started")) == 1
        assert lab.boot_of("app2") == boot


PLAY = """
- hosts: immutable
  gather_facts: false
  {strategy}
  tasks:
    - immutable.compose.{module}:
      delegate_to: localhost
      {once}
"""


@pytest.mark.parametrize(
    ("strategy", "once", "why"),
    [
        ("strategy: linear", "changed_when: false", "it needs 'run_once: true'"),
        ("strategy: linear", "run_once: false", "it needs 'run_once: true'"),
        ("strategy: free", "run_once: true", "the play needs 'strategy: linear'"),
        ("strategy: ansible.builtin.host_pinned", "run_once: true", "the play needs 'strategy: linear'"),
    ],
)
@pytest.mark.parametrize("module", ["deployment_destroy", "image_build"])
def test_a_play_that_would_do_it_for_each_host_is_refused(
    lab: Tiny, strategy: str, once: str, why: str, module: str
) -> None:
    playbook = lab.directory / "mine.yml"
    playbook.write_text(PLAY.format(strategy=strategy, once=once, module=module))
    command = [lab.program("ansible-playbook"), "-i", str(lab.inventory), str(playbook)]
    done = subprocess.run(
        command, env=lab.environment(), cwd=lab.directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and why in done.stdout, done.stdout
    assert lab.running() == {"app1", "app2", "other"}


def test_a_switch_leaves_alone_what_runs_what_is_meant(lab: Tiny) -> None:
    playbook = lab.directory / "twice.yml"
    once = "run_once: true\n      delegate_to: localhost\n"
    plan = "immutable.compose.{}: {{plan: '{{{{ plan }}}}'}}\n      " + once
    playbook.write_text(
        "- hosts: deployment_one\n  gather_facts: false\n  tasks:\n"
        "    - immutable.compose.deployment_plan: {hold: true, replace: [app1]}\n      register: plan\n      "
        + once
        + "".join(f"    - {plan.format(step)}" for step in ("image_build", "image_stage", *["deployment_switch"] * 2))
        + f"    - {plan.format('deployment_settle')}"
    )
    boot = lab.boot_of("app2")
    done = lab.play(playbook)
    assert lab.boot_of("app2") == boot
    assert len(done.said("switch app1: starting")) == 1
