# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are written in one step: whatever happens meanwhile, the old one or the new one is there, and no more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.files import Log, read_json, sync_below, write_text

KILLED = """
import os, signal, sys
from ansible_collections.immutable.compose.plugins.module_utils import files
os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
files.write_text(sys.argv[1], "new")
"""


def test_what_a_kill_leaves_is_used_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(str(path), "old")
    for _time in range(3):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], env=environment, check=False)
        assert killed.returncode == -signal.SIGKILL and path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    write_text(str(path), "new", 0o644)
    assert path.read_text() == "new" and path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_many_at_once_are_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    failed: list[Exception] = []

    def write(number: int) -> None:
        try:
            for _time in range(20):
                write_text(str(path), f"{number}" * 50_000)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and list(tmp_path.iterdir()) == [path]
    assert len(path.read_text()) == 50_000 and len(set(path.read_text())) == 1


def test_a_full_disk_is_told_with_the_file_and_keeps_the_old_one(small_disk: Path) -> None:
    path = small_disk / "file"
    write_text(str(path), "old")
    with (small_disk / "fills").open("wb") as stream, pytest.raises(OSError, match="No space left"):
        while True:
            os.write(stream.fileno(), bytes(4096))
    with pytest.raises(OSError, match=rf"No space left on device: '{path}'"):
        write_text(str(path), "new")
    assert path.read_text() == "old" and sorted(os.listdir(small_disk)) == ["file", "fills"]


def test_what_is_below_a_directory_is_synced_and_what_is_not_there_is_named(tmp_path: Path) -> None:
    sync_below(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        sync_below(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("text", [r'{"a": "\ud800"}', r'["x\uDFFF"]', r'{"\uD83dx": 1}', '["\\ud800\\ud800"]'])
def test_half_a_character_is_no_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(ValueError, match=r"it has half a character, '\\u"):
        read_json(str(tmp_path / "file"))


def test_two_halves_are_a_character(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(r'["\ud83d\uDE00", "\\ud800"]')
    assert read_json(str(tmp_path / "file")) == ["\U0001f600", r"\ud800"]


def test_lines_are_there_at_once_and_those_of_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "log"
    one, two = Log(str(path)), Log(str(path))
    for log, line in ((one, "a\n"), (two, "\udcff\n"), (one, "c\n")):
        log.add(line)
    assert path.read_text() == "a\n?\nc\n"
    with pytest.raises(OSError, match="No space"):
        Log("/dev/full").add("a\n")
