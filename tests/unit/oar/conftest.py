# SPDX-License-Identifier: GPL-3.0-or-later
"""An OAR in memory, and programs that answer as OAR's did."""

from __future__ import annotations

import json
import os
import shlex
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.oar import desk
from ansible_collections.immutable.compose.plugins.module_utils.oar.request import Request
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .site import Clock, Site
from .wire import Server, serve


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(desk, "time", clock)
    return clock


@pytest.fixture
def site(clock: Clock) -> Site:
    return Site()


@pytest.fixture
def told(tmp_path: Path) -> t.Callable[[], str]:
    """What was said of the progress so far."""
    path = tmp_path / "progress"
    return lambda: path.read_text() if path.exists() else ""


@pytest.fixture
def desk_of(site: Site, told: t.Callable[[], str], tmp_path: Path) -> t.Callable[..., desk.Desk]:
    return lambda **options: desk.Desk(site, Progress(str(tmp_path / "progress")), **options)


@pytest.fixture
def web() -> Request:
    return Request("web", 2, 3600, types=("deploy",))


class Programs:
    """Programs of ``PATH`` that say what was recorded, and write down how they were called."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._calls = directory / "calls"

    def add(self, name: str, stdout: str = "", stderr: str = "", code: int = 0) -> None:
        path = self.directory / name
        path.write_text(
            f'#!/bin/sh\nfor word in {name} "$@"; do printf \'%s\\0\' "$word"; done >>{self._calls}\n'
            f"printf '\\n' >>{self._calls}\nprintf %s {shlex.quote(stdout)}\nprintf %s {shlex.quote(stderr)} >&2\n"
            f"exit {code}\n"
        )
        path.chmod(0o755)

    def jobs(self, *jobs: dict[str, t.Any]) -> None:
        """What ``oarstat`` shows."""
        self.add("oarstat", json.dumps({str(job["Job_Id"]): job for job in jobs}))

    def calls(self, name: str) -> list[list[str]]:
        """How a program was called."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        called = [line.split("\0")[:-1] for line in lines]
        return [words[1:] for words in called if words[0] == name]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    directory = tmp_path / "bin"
    directory.mkdir()
    programs = Programs(directory)
    programs.add("id", "alice\n")
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    return programs


@pytest.fixture
def server() -> t.Iterator[Server]:
    with serve() as running:
        yield running
