"""What a test script leaves behind, and what it does to its own process, is nothing to the run that started it."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.checks import script_process
from ansible_collections.immutable.compose.plugins.module_utils.checks.deadline import Deadline
from ansible_collections.immutable.compose.plugins.module_utils.checks.hands import Hands
from ansible_collections.immutable.compose.plugins.module_utils.checks.machine import Machine
from ansible_collections.immutable.compose.plugins.module_utils.checks.script_process import ScriptProcess
from ansible_collections.immutable.compose.plugins.module_utils.model.report import Check
from ansible_collections.immutable.compose.plugins.module_utils.nodes.connection import Connection
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import NODE
from .test_driver import make

#: Seconds in which a script that ends at once has ended, whatever it left behind; those are there for a minute.
SOON = 25


def run(text: str, *machines: Machine, seconds: float = 60, progress: Path | None = None) -> list[Check]:
    with ScriptProcess(Progress(str(progress) if progress else None)) as process:
        return process.run(text, machines, Deadline(seconds))


def is_there(pid: int) -> bool:
    """Whether a process lives; one that nobody has asked for its end does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(path: Path) -> bool:
    pid = int(path.read_text())
    for _dummy in range(200):
        if not is_there(pid):
            return True
        time.sleep(0.05)
    return False


LEFT_BEHIND = {
    "a child": "import subprocess\npid = subprocess.Popen(['sleep', '60']).pid",
    "a child with another output": (
        "import subprocess\npid = subprocess.Popen(['sleep', '60'], stdout=subprocess.PIPE, stdin=subprocess.PIPE).pid"
    ),
    "a copy of itself": "import time\npid = os.fork()\nif not pid:\n    time.sleep(60)",
    "a thread": "import threading, time\nthreading.Thread(target=time.sleep, args=[60]).start()\npid = os.getpid()",
    "something for its end": "import atexit, time\natexit.register(time.sleep, 60)\npid = os.getpid()",
    "deaf ears": (
        "import signal\nfor number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):\n"
        "    signal.signal(number, signal.SIG_IGN)\npid = os.getpid()"
    ),
    "a closed output": "import sys\npid = os.getpid()\nsys.stdout.close()\nos.close(1)\nos.close(2)\nos.close(0)",
}


@pytest.mark.parametrize("text", LEFT_BEHIND.values(), ids=LEFT_BEHIND)
def test_what_is_left_behind_ends_with_the_script(text: str, tmp_path: Path) -> None:
    pid, lock = tmp_path / "pid", tmp_path / "lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        os.set_inheritable(held.fileno(), False)
        start = time.monotonic()
        (check,) = run(f"{text}\nopen({str(pid)!r}, 'w').write(str(pid))")
        assert time.monotonic() - start < SOON
        assert check.ok, check.message
    with lock.open() as again:
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert gone(pid)


NOT_PASSED = {
    "os._exit": ("os._exit(0)", "its process ended before the script did (exit code 0)"),
    "an end by a signal": ("os.kill(os.getpid(), 9)", "its process ended before the script did (signal 9)"),
    "an end of all in its group": ("os.killpg(0, 15)", "its process ended before the script did (signal 15)"),
    "another program": ("os.execvp('true', ['true'])", "its process ended before the script did (exit code 0)"),
    "closed descriptors": ("os.closerange(0, 100)", "its process ended before the script did ("),
    "words of its own": (
        "for number in range(3, 100):\n    try:\n        os.write(number, b'nonsense\\n')\n"
        "    except OSError:\n        pass\nimport time\ntime.sleep(60)",
        "closed a descriptor that is not the script's, or wrote to it",
    ),
    "an exit": ("raise SystemExit(0)", "SystemExit: 0"),
}


@pytest.mark.parametrize(("text", "message"), NOT_PASSED.values(), ids=NOT_PASSED)
def test_what_is_no_way_to_pass(text: str, message: str) -> None:
    start = time.monotonic()
    (check,) = run(text)
    assert time.monotonic() - start < SOON
    assert not check.ok and message in check.message


@pytest.mark.parametrize(
    "text",
    [
        "import time\n\ntime.sleep(60)",
        "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))\ntime.sleep(60)",
        "import subprocess\n\nsubprocess.run(['sleep', '60'])",
        "import threading\n\nthreading.Event().wait(60)",
        "import socket\n\npair = socket.socketpair(); pair[0].recv(1)",
        "x = 0\n\nwhile True: x += 1",
    ],
)
def test_deadline_ends_whatever_the_script_waits_for(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script_process, "PATIENCE", 0.1)
    monkeypatch.setattr(script_process, "ANSWER", 10)
    start = time.monotonic()
    (check,) = run(text, seconds=2)
    assert time.monotonic() - start < SOON
    line = text.splitlines()[2]
    assert check.message == f"line 3: {line}\nthe verification took longer than 2 s (verify_timeout)"


def test_a_copy_of_the_process_cannot_speak_for_it(kept: Connection, tmp_path: Path) -> None:
    said: list[str] = []
    checks = run(
        f"""
        pid = os.fork()
        if not pid:
            try:
                machine.succeed("touch {tmp_path}/by-the-copy")
            except RuntimeError as error:
                open("{tmp_path}/why", "w").write(str(error))
        else:
            os.waitpid(pid, 0)
        machine.succeed("touch {tmp_path}/by-the-script")
        """,
        make(kept, tmp_path, said),
    )
    assert [check.ok for check in checks] == [True], checks
    assert (tmp_path / "why").read_text() == "a copy of the test script's process cannot use its machines"
    assert (tmp_path / "by-the-script").exists() and not (tmp_path / "by-the-copy").exists()


def test_subtests_that_had_passed_are_told_of_a_script_that_was_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script_process, "PATIENCE", 0.1)
    checks = run('with subtest("first"):\n    pass\nwhile True: pass', seconds=3)
    assert [(check.name, check.ok) for check in checks] == [("testScript: first", True), ("testScript", False)]


def test_programs_of_the_script_are_heard(tmp_path: Path) -> None:
    progress = tmp_path / "progress"
    run("import subprocess\nsubprocess.run(['echo', 'said by a program'])", progress=progress)
    assert "said by a program\n" in progress.read_text()


def test_arguments_that_no_machine_takes_are_the_script_s_fault(kept: Connection, tmp_path: Path) -> None:
    def message(text: str) -> str:
        (check,) = run(text, make(kept, tmp_path, []))
        return check.message

    assert "command `<object object at" in message("machine.succeed(object())")
    assert "unexpected keyword argument 'timout'" in message("machine.succeed('true', timout=3)")
    assert "ValueError: a command cannot contain NUL" in message("machine.succeed('\\0')")


def test_results_are_what_nixos_says(kept: Connection, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "file").write_text("of the script")
    (check,) = run(
        f"""
        assert machine.execute("exit 3") == (3, ""), "a tuple"
        code, output = machine.systemctl("nonsense 2>/dev/null")
        assert machine.name == "{NODE}" and machines[0].role == ""
        os.chdir("{tmp_path}/here")
        machine.copy_from_host("file", "{tmp_path}/there")
        t.assertEqual(machine.succeed("cat {tmp_path}/there"), "of the script")
        with t.assertRaises(ZeroDivisionError):
            1 / 0
        """,
        make(kept, tmp_path, []),
    )
    assert check.ok, check.message


def test_what_has_left_its_group_holds_up_nobody(tmp_path: Path) -> None:
    """It has the output of the script, too."""
    pid = tmp_path / "pid"
    left = "import subprocess\nleft = subprocess.Popen(['sleep', '60'], start_new_session=True)"
    start = time.monotonic()
    with other_run(f"{left}\nopen({str(pid)!r}, 'w').write(str(left.pid))") as other:
        assert other.wait(SOON) == 0
    assert time.monotonic() - start < SOON
    os.kill(int(pid.read_text()), signal.SIGKILL)


def test_it_ends_with_the_run_that_started_it(tmp_path: Path) -> None:
    """A run that is killed cannot end anything itself."""
    pid = tmp_path / "pid"
    text = f"import time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    with other_run(text) as other:
        for _dummy in range(400):
            if pid.exists() and pid.read_text():
                break
            time.sleep(0.05)
        assert is_there(int(pid.read_text()))
        other.send_signal(signal.SIGKILL)
    assert gone(pid)


def other_run(text: str) -> subprocess.Popen[bytes]:
    """A process of its own that runs a script."""
    package = script_process.__name__.rpartition(".")[0]
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        f"from {package}.script_process import ScriptProcess\n"
        f"from {package}.deadline import Deadline\n"
        f"from {package.rpartition('.')[0]}.progress import Progress\n"
        f"with ScriptProcess(Progress()) as process:\n    process.run({text!r}, [], Deadline(60))\n"
    )
    return subprocess.Popen([sys.executable, "-c", code])


class Off:
    """In place of hands: a machine that has gone off, of which its connection knows nothing."""

    def is_known_off(self, _name: str) -> bool:
        return True


def test_a_script_does_not_wait_for_a_machine_that_has_died(
    kept: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script_process, "LOOK", 0.5)
    machine = make(kept, tmp_path, [], hands=t.cast(Hands, Off()))
    began = time.monotonic()
    (check,) = run("machine.succeed('sleep 50')", machine)
    assert "the SSH connection was lost" in check.message and check.message.startswith("line 1: ")
    assert time.monotonic() - began < SOON
