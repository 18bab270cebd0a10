# SPDX-License-Identifier: GPL-3.0-or-later
"""Each simulator is a package with a version, which stands alone: others may take it as it is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SIMULATORS = Path(__file__).resolve().parents[2] / "simulators"
#: Package → those that it needs besides.
PACKAGES = {"proxmox": (), "kadeploy": (), "g5k_api": ("kadeploy",), "awx": ()}


def test_every_simulator_is_one() -> None:
    assert {path.parent.name for path in SIMULATORS.glob("*/__init__.py")} == set(PACKAGES)
    assert {path.name for path in SIMULATORS.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(PACKAGES)


@pytest.mark.parametrize("name", PACKAGES)
def test_it_needs_nothing_else_of_this_repository_and_tells_its_version(name: str, tmp_path: Path) -> None:
    for needed in (name, *PACKAGES[name]):
        shutil.copytree(SIMULATORS / needed, tmp_path / needed, ignore=shutil.ignore_patterns("__pycache__"))
    files = sorted(path.stem for path in (tmp_path / name).glob("*.py"))
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + "\n".join(
        f"import {name}.{file}" for file in files if file != "__init__"
    )
    said = subprocess.run(
        [sys.executable, "-I", "-c", f"{program}\nprint({name}.__version__)"],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", said)
    if (tmp_path / name / "serve").exists():
        command = [sys.executable, str(tmp_path / name / "serve"), "--version"]
        assert subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout == said
