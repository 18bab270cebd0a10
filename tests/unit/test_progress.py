# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of progress: how often they come, what they hide, and how they arrive."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
import types
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils import progress
from ansible_collections.immutable.compose.plugins.module_utils.deploy.masking import Mask
from ansible_collections.immutable.compose.plugins.module_utils.progress import END, Progress
from ansible_collections.immutable.compose.plugins.plugin_utils import transport
from ansible_collections.immutable.compose.plugins.plugin_utils.transport import Follower

SNOW = "ünïcode → ☃"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "progress"


def told(path: Path) -> list[str]:
    """The lines, without the seconds."""
    return [line.rpartition(" (")[0] or line for line in path.read_text().splitlines()]


def await_lines(path: Path, count: int) -> list[str]:
    """The lines, as soon as there are so many."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        lines = told(path) if path.exists() else []
        if len(lines) >= count:
            return lines
        time.sleep(0.02)
    raise AssertionError(f"no {count} lines within a minute: {path}")


def test_a_line_comes_when_something_changes_and_else_after_a_while(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "HEARTBEAT", 0.02)
    left = 2
    with Progress(str(path)).waiting(lambda: f"{left} left"):
        await_lines(path, 1)
        left = 1
        await_lines(path, 2)
        time.sleep(0.2)
    assert told(path) == ["2 left", "1 left"]
    path.unlink()
    monkeypatch.setattr(progress, "REMINDER", 0.3)
    begin = time.monotonic()
    with Progress(str(path)).waiting(lambda: "the same"):
        await_lines(path, 3)
    assert time.monotonic() - begin >= 0.6


def test_what_alternates_is_nothing_new(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "HEARTBEAT", 0.02)
    beats = itertools.count()
    with Progress(str(path)).waiting(lambda: f"line {next(beats) % 2}"):
        time.sleep(0.3)
    assert told(path) == ["line 0", "line 1"]


def test_what_is_quick_is_not_waited_for(path: Path) -> None:
    with Progress(str(path)).waiting(lambda: "quick"):
        pass
    assert not path.exists()


def test_a_line_is_one_line_and_changes_no_terminal(path: Path) -> None:
    with Progress(str(path)) as told_:
        told_.say("a\nb\r\nc \033]0;title\007\033[2J \x85 " + SNOW)
    first, end = path.read_text().split("\n")[:2]
    assert first == "a b c \ufffd]0;title\ufffd\ufffd[2J   " + SNOW
    assert end == END


def test_what_cannot_be_told_ends_no_step(small_disk: Path) -> None:
    with (small_disk / "fills").open("wb") as stream, pytest.raises(OSError, match="No space left"):
        while True:
            os.write(stream.fileno(), bytes(4096))
    with Progress(str(small_disk / "progress")) as told:
        told.say("a line")


def test_secrets_are_hidden_with_each_of_their_lines() -> None:
    mask = Mask(["correct-horse", "first line\nsecond line", "ab", "postgres"], public={"postgres"})
    assert mask.text("the correct-horses of postgres") == "the ********s of postgres"
    assert mask.text("it says second line") == "it says ********"
    assert mask.text("ab about cab") == "******** about cab"
    result = {"msg": "ab", "nodes": {"ab": {"ok": True, "message": "no ab"}}, "failure": {"tail": ["ab"]}, "ab": "ab"}
    assert mask.result(result) == {
        "msg": "********",
        "nodes": {"ab": {"ok": True, "message": "no ********"}},
        "failure": {"tail": ["********"]},
        "ab": "ab",
    }
    assert Mask(["", "\n"]).text("as it is") == "as it is"


class Action:
    """Runs commands as over SSH, in a terminal that changes line ends and mixes in what is said on standard error."""

    _connection = types.SimpleNamespace(become=None)

    def _low_level_execute_command(self, command: str) -> dict[str, t.Any]:
        done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return {"rc": done.returncode, "stdout": done.stdout.decode().replace("\n", "\r\n")}


def test_lines_of_another_host_arrive_byte_for_byte(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "REMOTE_POLL", 0)
    shown: list[str] = []
    screen = types.SimpleNamespace(line=shown.append)
    follower = Follower(transport._There(Action(), str(path)), screen)  # type: ignore[arg-type]
    follower.show()  # there is no file yet
    text = "".join(f"{number} {SNOW}\n" for number in range(200)).encode() + f"{END}\n".encode()
    for start in range(0, len(text), 777):  # cut anywhere, within characters too
        with path.open("ab") as stream:
            stream.write(text[start : start + 777])
        follower.show()
    assert shown == [f"  compose | {number} {SNOW}" for number in range(200)]
    assert follower.ended
    follower.file.remove()
    assert not path.exists()


def test_a_look_waits_for_news_and_no_longer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "REMOTE_POLL", 300)
    there = transport._There(Action(), str(path))  # type: ignore[arg-type]
    start = time.monotonic()
    writer = subprocess.Popen(["sh", "-c", f"sleep 1; echo news >{path}"])
    assert there.read(0, wait=True) == b"news\n"
    assert time.monotonic() - start < transport.REMOTE_POLL
    assert there.read(5, wait=False) == b""
    writer.wait()
