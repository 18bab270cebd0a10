"""Processes that outlast the run: found again by what they are, never by a number alone."""

from __future__ import annotations

import os
import subprocess
import time
import typing as t
import uuid
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import CommandError
from ansible_collections.immutable.compose.plugins.module_utils.platforms.local import machine

SLEEP = "sleep 60 & wait"


def of(*programs: str) -> machine.Kind:
    return machine.Kind(programs, {os.geteuid()})


SHELL = of("sh")


def shell(script: str, marker: str) -> list[str]:
    return ["sh", "-c", script, "sh", f"--uuid={marker}"]


@pytest.fixture
def marker() -> t.Iterator[str]:
    marker = str(uuid.uuid4())
    yield marker
    for pid in machine.find([marker], SHELL).values():
        with machine.handle(pid, marker, SHELL) as handle:
            assert handle is None or machine.kill(pid, handle, 5)


def started(marker: str, log: Path, script: str = SLEEP) -> int:
    return machine.start(shell(script, marker), str(log), ready=lambda pid: bool(machine.children(pid)), deadline=5)


def test_started_process_is_on_its_own_and_found(marker: str, tmp_path: Path) -> None:
    with open(tmp_path / "lock", "w", encoding="ascii") as lock:
        os.set_inheritable(lock.fileno(), True)  # as by `flock 9 ansible-playbook …`
        pid = started(marker, tmp_path / "log")
    assert machine.find([marker, "other"], SHELL) == {marker: pid}
    assert os.getsid(pid) == pid
    assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    assert os.readlink(f"/proc/{pid}/fd/1") == os.readlink(f"/proc/{pid}/fd/2")
    assert str(tmp_path / "lock") not in {os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}


def test_a_child_that_looks_like_its_parent_is_not_taken_for_it(marker: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    pid = started(marker, tmp_path / "log", f"(read word < {tmp_path}/pipe) & wait")
    (child,) = machine.children(pid)
    assert Path(f"/proc/{child}/cmdline").read_bytes() == Path(f"/proc/{pid}/cmdline").read_bytes()
    assert machine.find([marker], SHELL) == {marker: pid}


def test_environment_of_the_run_is_not_handed_on(marker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_PASSWORD", "secret")
    pid = started(marker, tmp_path / "log")
    assert b"secret" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_only_the_right_program_counts(marker: str, tmp_path: Path) -> None:
    pid = started(marker, tmp_path / "log")
    assert machine.find([marker], of("bash", "ps")) == {}
    assert machine.find([marker], of("ps", "sh")) == {marker: pid}


def test_no_handle_on_a_process_that_only_has_the_number(marker: str, tmp_path: Path) -> None:
    pid = started(marker, tmp_path / "log")
    with machine.handle(pid, "another", SHELL) as handle:
        assert handle is None
    with machine.handle(pid, marker, of("bash")) as handle:
        assert handle is None
    with machine.handle(pid, marker, SHELL) as handle:
        assert handle is not None


def test_process_that_ends_at_once_is_an_error_with_its_words(marker: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError) as caught:
        machine.start(
            shell("echo one; echo disk is missing >&2; exit 3", marker),
            str(tmp_path / "log"),
            ready=lambda pid: False,
            deadline=5,
        )
    assert caught.value.returncode == 3
    assert "disk is missing" in str(caught.value)


def test_process_that_is_never_ready_is_killed(marker: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="not ready after 0 s"):
        machine.start(shell(SLEEP, marker), str(tmp_path / "log"), ready=lambda pid: False, deadline=0.2)
    assert machine.find([marker], SHELL) == {}


def test_kill_takes_the_children_too(marker: str, tmp_path: Path) -> None:
    pid = started(marker, tmp_path / "log")
    (child,) = machine.children(pid)
    with machine.handle(pid, marker, SHELL) as handle:
        assert handle is not None
        assert not machine.wait(handle, 0)
        assert machine.kill(pid, handle, 5)
    assert b"sleep" not in _cmdline(child)
    with machine.handle(pid, marker, SHELL) as handle:
        assert handle is None


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_tail_of_a_log(tmp_path: Path) -> None:
    assert machine.tail(str(tmp_path / "none"), 5) == ""
    (tmp_path / "log").write_bytes(b"".join(b"line %d\n" % number for number in range(100_000)) + b"\xff end")
    assert machine.tail(str(tmp_path / "log"), 2) == "line 99999\n� end"


def test_a_process_of_another_user_is_none_of_ours(marker: str) -> None:
    """Anybody may call a process like a machine's."""
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *shell(SLEEP, marker)]
    with subprocess.Popen(command, start_new_session=True) as other:
        try:
            for _dummy in range(200):
                if machine.find([marker], machine.Kind(["sh"], {65534})):
                    break
                time.sleep(0.02)
            assert machine.find([marker], machine.Kind(["sh"], {65534})) == {marker: other.pid}
            assert machine.find([marker], SHELL) == {}
            assert not [line for line in machine.commands(SHELL) if any(marker in word for word in line)]
            with machine.handle(other.pid, marker, SHELL) as handle:
                assert handle is None
        finally:
            os.killpg(other.pid, 9)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes that a log may have, and those that may come before anybody looks."""
    monkeypatch.setattr(
        machine, "_LOG", machine._LOG.replace(str(machine.LONGEST), "20000").replace(str(machine.KEPT), "5000")
    )
    return 20000 + 16 * 65536


@pytest.mark.parametrize("how", ["a line at a time", "as fast as it can"])
def test_what_a_machine_says_does_not_fill_the_disk(marker: str, tmp_path: Path, short: int, how: str) -> None:
    log, done = tmp_path / "log", tmp_path / "done"
    flood = "seq 1 20000" if how == "a line at a time" else "yes 'a flood of words' | head -c 30000000"
    started(marker, log, f"{flood}; echo; echo the last words; touch {done}; {SLEEP}")
    largest = 0
    for _dummy in range(3000):
        largest = max(largest, log.stat().st_size)
        if done.exists() and machine.tail(str(log), 1) == "the last words":
            break
        time.sleep(0.01)
    assert machine.tail(str(log), 1) == "the last words"
    assert largest <= short
    lines = machine.tail(str(log), 10).splitlines()
    assert len(lines) == 10


def test_a_line_is_there_at_once(marker: str, tmp_path: Path) -> None:
    started(marker, tmp_path / "log", f"echo one; {SLEEP}")
    for _dummy in range(200):
        if machine.tail(str(tmp_path / "log"), 1) == "one":
            return
        time.sleep(0.01)
    raise AssertionError("nothing came")


def loggers(pid: int) -> set[int]:
    """Processes that read what a machine says."""
    return {int(entry.parent.parent.name) for entry in Path("/proc").glob("[0-9]*/fd/0") if _reads_from(entry, pid)}


def _reads_from(entry: Path, pid: int) -> bool:
    try:
        return os.readlink(entry) == os.readlink(f"/proc/{pid}/fd/1")
    except OSError:
        return False


def ended(pids: t.Collection[int]) -> bool:
    for _dummy in range(200):
        if not any(Path(f"/proc/{pid}/exe").exists() for pid in pids):
            return True
        time.sleep(0.02)
    return False


def test_nothing_is_left_of_a_machine_that_ended(marker: str, tmp_path: Path) -> None:
    pid = started(marker, tmp_path / "log")
    reading = loggers(pid)
    with machine.handle(pid, marker, SHELL) as handle:
        assert reading and handle is not None and machine.kill(pid, handle, 5)
    assert ended(reading)


@pytest.mark.parametrize("gone", [True, False], ids=["the file is gone", "the disk is full"])
def test_a_machine_goes_on_whose_log_cannot_be_written(marker: str, tmp_path: Path, gone: bool) -> None:
    log, said = tmp_path / "nodes" / "log", tmp_path / "said"
    log.parent.mkdir()
    if not gone:
        log.symlink_to("/dev/full")
    begin = tmp_path / "begin"
    script = f"until [ -e {begin} ]; do sleep 0.05; done; yes | head -c 3000000; touch {said}; {SLEEP}"
    pid = machine.start(shell(script, marker), str(log), ready=lambda _pid: True, deadline=5)
    if gone:
        log.unlink()
    begin.touch()
    for _dummy in range(500):
        if said.exists():
            break
        time.sleep(0.02)
    assert said.exists()
    reading = loggers(pid)
    used = {each: _ticks(each) for each in reading}
    time.sleep(0.5)
    assert all(_ticks(each) - before < 10 for each, before in used.items()), (
        "it waits, and does not look again and again"
    )
    with machine.handle(pid, marker, SHELL) as handle:
        assert reading and handle is not None and machine.kill(pid, handle, 5)
    assert ended(reading)
    assert not gone or not list(log.parent.iterdir()), "whoever removes a node would find its directory not empty"


def _ticks(pid: int) -> int:
    """Hundredths of a second that a process and its children have worked."""
    try:
        return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    except OSError:
        return 0
