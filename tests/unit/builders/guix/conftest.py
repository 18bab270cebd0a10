"""Compositions of Guix roles, and a stand-in for Guix."""

from __future__ import annotations

import json
import os
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.immutable.compose.plugins.module_utils.builders.guix.builder import GuixBuilder
from ansible_collections.immutable.compose.plugins.module_utils.describe.options import validate_options
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from ..conftest import REPOSITORY

PINNED = '(list (channel (name (quote guix)) (url "https://example.org") (commit "0000")))\n'

Write = t.Callable[[t.Mapping[str, t.Any]], str]


def builder(progress: Path, *, trusted: bool = False, **options: t.Any) -> GuixBuilder:
    given = validate_options(GuixBuilder, options, "builder", "builder")
    return GuixBuilder(str(REPOSITORY / "nix"), Progress(str(progress)), given, trusted=trusted)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a composition.yml with the files of its roles; gives the directory."""

    def write(content: t.Mapping[str, t.Any]) -> str:
        directory = tmp_path / "lab"
        directory.mkdir(exist_ok=True)
        (directory / "composition.yml").write_text(yaml.safe_dump(dict(content)))
        for name in ("a.scm", "b.scm"):
            (directory / name).write_text("(use-modules (gnu))")
        return str(directory)

    return write


@pytest.fixture
def lab(write: Write) -> str:
    """A composition with two roles."""
    return write(
        {
            "roles": {
                "server": {"file": "a.scm", "volumes": {"db": {"mount": "/srv/db", "mode": "0700"}}},
                "client": {"file": "b.scm"},
            }
        }
    )


class StandIn:
    """What was asked of the stand-in for Guix."""

    def __init__(self, directory: Path) -> None:
        self.store = directory / "store"
        self.store.mkdir()
        self._calls = directory / "calls"

    def calls(self) -> list[dict[str, t.Any]]:
        if not self._calls.exists():
            return []
        return [json.loads(line) for line in self._calls.read_text().splitlines()]

    def commands(self) -> list[list[str]]:
        return [call["arguments"] for call in self.calls()]

    def last(self, word: str) -> list[str]:
        """The last call that has this argument."""
        return [command for command in self.commands() if word in command][-1]


@pytest.fixture
def guix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    programs = tmp_path / "programs"
    programs.mkdir()
    program = programs / "guix"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).parent}/stand_in.py "$@"\n')
    program.chmod(0o755)
    directory = tmp_path / "gnu"
    directory.mkdir()
    stand_in = StandIn(directory)
    monkeypatch.setenv("STORE", str(stand_in.store))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return stand_in
