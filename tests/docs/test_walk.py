# SPDX-License-Identifier: GPL-3.0-or-later
"""README, tutorial and guides, followed to the letter in a fresh clone: commands end and print as the pages say."""

from __future__ import annotations

import os
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
from page import File, blocks
from walk import ROOT, WALKED, Shell

STATE = Path("/var/lib/immutable-compose")
#: Deployments that the pages make.
MADE = ("demo", "site")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Shell]:
    """Somebody's, in a clone of what git knows, and has committed, here."""
    assert os.geteuid() == 0, "the tutorial's containers need root"
    there = [str(STATE / name) for name in MADE if (STATE / name).exists()]
    assert there == [], "somebody has deployed what the pages deploy: destroy that, and remove its state"
    clone = tmp_path_factory.mktemp("walk") / "compose"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    home = tmp_path_factory.mktemp("home")
    shell = Shell(home, clone)
    yield shell
    for inventory in ("inventories/demo", "lab/site.compose.yml", f"{home}/lab/inventory"):
        destroy = f"ansible-playbook -i {inventory} playbooks/destroy.yml -e compose_data=true"
        shell.run(f"cd {clone}; . .cache/venv/3.1*/bin/activate; {destroy}")
    for name in MADE:
        shutil.rmtree(STATE / name, ignore_errors=True)


@pytest.mark.parametrize("name", WALKED)
def test_page(name: str, shell: Shell) -> None:
    if name == "docs/tutorial.md":
        shell.run(f"cd {shell.directory}")  # its first words
    for block in blocks(ROOT / name):
        if isinstance(block, File):
            shell.write(block.name, block.text)
        elif block.needs is None:
            for command in block.steps:
                wrong = shell.follow(command)
                assert wrong is None, f"{name}:{block.line}: {wrong}"
