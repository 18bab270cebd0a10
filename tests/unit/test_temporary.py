# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs leave in the temporary directory when they are killed, which may be secrets, and big."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.temporary import TemporaryDirectory

HELD = """
import sys, time
from ansible_collections.immutable.compose.plugins.module_utils.temporary import TemporaryDirectory
with TemporaryDirectory("test") as directory:
    open(directory + "/secret", "w").close()
    print(directory, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_a_killed_process_has_left_goes_when_another_is_made(directory: Path) -> None:
    (directory / "immutable-compose.tar").write_text("somebody's")
    (directory / "compose-mine").mkdir()
    environment = {**os.environ, "TMPDIR": str(directory), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", HELD], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        held = Path(process.stdout.readline().strip())
        with TemporaryDirectory("test") as mine:
            assert (held / "secret").exists()  # it is in use
        assert not os.path.exists(mine)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert held.exists()
    with TemporaryDirectory("test"):
        assert not held.exists()
    assert sorted(path.name for path in directory.iterdir()) == ["compose-mine", "immutable-compose.tar"]


def test_removing_it_twice_closes_nothing_else(directory: Path) -> None:
    mine = TemporaryDirectory("test")
    mine.cleanup()
    with open(directory / "another", "w", encoding="utf-8") as another:  # has the number of the lock
        mine.cleanup()
        another.write("still open")
