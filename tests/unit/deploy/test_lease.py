# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is at work: one run at a time, however its controller ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.deploy import lease as module
from ansible_collections.immutable.compose.plugins.module_utils.deploy.lease import Lease
from ansible_collections.immutable.compose.plugins.module_utils.deploy.run import Run
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.progress import PATIENCE, Progress

Process = subprocess.Popen[bytes]


@pytest.fixture
def process() -> t.Iterator[Process]:
    """Stands for another ansible-playbook of this host."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def lease(state: Path, run: Run) -> Lease:
    return Lease(str(state), run, Progress())


MINE = Run.of_process(os.getpid())


def elsewhere(who: str = "alice@far, process 5") -> Run:
    return Run(who, "another boot pid:[1]", 5, "77", "2026-01-31T12:00:00Z")


def test_another_run_is_refused_and_named_until_it_has_ended(tmp_path: Path, process: Process) -> None:
    other = lease(tmp_path, Run.of_process(process.pid))
    assert other.take()
    with pytest.raises(ComposeError, match=f"process {process.pid}; nothing was changed"):
        lease(tmp_path, MINE).take()
    process.kill()
    process.wait()
    assert lease(tmp_path, MINE).take()
    with pytest.raises(ComposeError, match=f"process {MINE.pid} is at work on it since"):
        other.require()
    other.end()  # it is not its own any more
    lease(tmp_path, MINE).require()


def test_a_run_takes_what_it_has_and_gives_it_free(tmp_path: Path) -> None:
    mine = lease(tmp_path, MINE)
    assert mine.take() and not mine.take()
    mine.end()
    with pytest.raises(ComposeError, match="the lease that its plan took is gone"):
        mine.require()


def test_a_process_id_that_is_used_again_is_another_run(tmp_path: Path, process: Process) -> None:
    old = replace(Run.of_process(process.pid), started="1")
    assert lease(tmp_path, old).take()
    assert lease(tmp_path, MINE).take()


def test_a_silent_run_of_another_host_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lease(tmp_path, elsewhere()).take()
    past = time.time() - PATIENCE - 1
    os.utime(tmp_path / "lease.json", (past, past))
    assert lease(tmp_path, MINE).take()
    # One that was heard of lately is waited for.
    lease(tmp_path, MINE).end()
    monkeypatch.setattr(module, "PATIENCE", 1.0)
    assert lease(tmp_path, elsewhere()).take()
    begin = time.monotonic()
    assert lease(tmp_path, MINE).take()
    assert time.monotonic() - begin >= 0.5


def test_a_run_of_another_host_that_gives_signs_of_life_is_at_work(tmp_path: Path) -> None:
    other = lease(tmp_path, elsewhere())
    other.take()
    with other.kept(), pytest.raises(ComposeError, match="alice@far, process 5"):
        lease(tmp_path, MINE).take()


def test_what_fails_at_its_beginning_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), lease(tmp_path, MINE).begun():
        raise KeyError
    assert lease(tmp_path, elsewhere()).take()


def test_a_step_that_is_part_of_a_run_does_not_end_it(tmp_path: Path) -> None:
    mine = lease(tmp_path, MINE)
    with mine.begun():
        pass
    with mine.taken():
        pass
    mine.require()
    with mine.kept(ends=lambda: True):
        pass
    assert not (tmp_path / "lease.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"who": 1}', '{"who": "x"}'])
def test_a_damaged_lease_is_nobodys(tmp_path: Path, text: str) -> None:
    (tmp_path / "lease.json").write_text(text)
    assert lease(tmp_path, MINE).take()


def test_a_lease_of_a_newer_version_is_its(tmp_path: Path) -> None:
    with lease(tmp_path, elsewhere()).begun():
        pass
    path = tmp_path / "lease.json"
    path.write_text(path.read_text().replace("{", '{"later": 1, ', 1))
    with pytest.raises(ComposeError, match="install that version here"):
        lease(tmp_path, MINE).take()


STEP = """
import sys
from ansible_collections.immutable.compose.plugins.module_utils.deploy.lease import Lease
from ansible_collections.immutable.compose.plugins.module_utils.deploy.run import Run
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress
import time
with Lease(sys.argv[1], Run.of_process(int(sys.argv[2])), Progress()).taken():
    print("acting", flush=True)
    time.sleep(60)
"""


def test_a_step_that_no_controller_asks_for_any_more_ends(tmp_path: Path, process: Process) -> None:
    progress = tmp_path / "progress"
    script = STEP.replace("Progress()", f"Progress({str(progress)!r})")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, str(tmp_path), str(process.pid)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as step:
        assert step.stdout is not None and step.stdout.readline() == b"acting\n"
        seen = Path(f"{progress}.seen")
        seen.touch()
        with pytest.raises(subprocess.TimeoutExpired):
            step.wait(timeout=3)
        past = time.time() - PATIENCE - 1
        os.utime(seen, (past, past))
        assert step.wait(timeout=20) == 1


def test_a_step_ends_with_its_run(tmp_path: Path, process: Process) -> None:
    """Else it would act, and hold the lock, until its own deadlines."""
    command = [sys.executable, "-c", STEP, str(tmp_path), str(process.pid)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as step:
        assert step.stdout is not None and step.stdout.readline() == b"acting\n"
        process.kill()
        process.wait()
        assert step.wait(timeout=20) == 1
    with lease(tmp_path, MINE).taken():
        pass


ORPHAN = """
import multiprocessing, os, time
from ansible_collections.immutable.compose.plugins.module_utils.deploy.run import Run

def work():
    parent = os.getppid()
    print(Run.of_worker().pid, flush=True)
    while os.getppid() == parent:
        time.sleep(0.01)
    run = Run.of_worker()
    print(run.pid, run.alive, flush=True)

multiprocessing.get_context("fork").Process(target=work).start()
"""


def test_who_is_left_of_a_run_that_was_killed_is_still_of_that_run() -> None:
    """Its parent is another process then: what it claimed for that would be nobody's to end."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, text=True, env=environment) as run:
        assert run.stdout is not None and run.stdout.readline() == f"{run.pid}\n"
        run.kill()
        run.wait()
        assert run.stdout.readline() == f"{run.pid} False\n"


def test_a_step_whose_run_has_ended_before_it_changes_nothing(tmp_path: Path, process: Process) -> None:
    run = Run.of_process(process.pid)
    process.kill()
    process.wait()
    for of in (run, Run.of_process(process.pid)):  # known of before it ended, or not
        with pytest.raises(ComposeError, match="has ended .*; nothing was changed"), lease(tmp_path, of).taken():
            raise AssertionError("it acts")
        assert not (tmp_path / "lease.json").exists()
