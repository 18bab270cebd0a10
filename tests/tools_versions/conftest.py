"""Guix as the chroot ``sid`` has it: run by tests/tools/with_guix.sh."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.guix.builder import GuixBuilder
from ansible_collections.immutable.compose.plugins.module_utils.describe.options import validate_options
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(__file__).parent / "data"

MakeBuilder = t.Callable[..., GuixBuilder]


def guix(*arguments: str, **environment: str) -> str:
    """What a real ``guix`` prints."""
    done = subprocess.run(
        ["guix", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def register_stub(derivation: str, payload: Path, *references: str) -> str:
    """An output for what cannot be built without a network; see the script."""
    return guix("repl", "--", str(DATA / "register_stub.scm"), derivation, str(payload), *references)


def forget(path: str) -> None:
    """Remove a path from the store, if it is there."""
    if os.path.exists(path):
        guix("gc", "--delete", path)


@pytest.fixture
def said(tmp_path: Path) -> Path:
    return tmp_path / "progress"


@pytest.fixture
def builder(said: Path) -> MakeBuilder:
    """The builder with options; without grafts, for these need packages that are built."""

    def make(*, trusted: bool = False, **options: t.Any) -> GuixBuilder:
        given = {"grafts": False, **options}
        validate_options(GuixBuilder, given, "builder", "builder")
        return GuixBuilder(str(ROOT / "nix"), Progress(str(said)), given, trusted=trusted)

    return make


@pytest.fixture
def composition(tmp_path: Path) -> Path:
    """A copy of the example with a shared template and three roles, such that no store has its images yet."""
    path = tmp_path / "nfs-guix"
    shutil.copytree(ROOT / "compositions/nfs-guix", path)
    template = path / "templates/base.scm"
    template.write_text(template.read_text().replace('"node"', f'"node-{secrets.token_hex(4)}"'))
    return path
