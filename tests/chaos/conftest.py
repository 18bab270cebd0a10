# SPDX-License-Identifier: GPL-3.0-or-later
"""Moments follow from numbers: others each time, and they can be had again."""

from __future__ import annotations

import os
import random
import subprocess
import typing as t

import pytest

from .life import Life
from .world import World

#: Chosen before pytest starts the processes that share the tests.
os.environ.setdefault("CHAOS_SEED", str(random.randrange(2**32)))


def pytest_report_header() -> str:
    seed = os.environ["CHAOS_SEED"]
    return f"chaos: seed {seed}; for the same moments again: CHAOS_SEED={seed} make chaos"


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[World]:
    """The deployment of this process of pytest."""
    world = World(tmp_path_factory.mktemp("chaos"))
    yield world
    world.wipe()


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Of one test."""
    return random.Random(f"{os.environ['CHAOS_SEED']} {request.node.name}")


@pytest.fixture(scope="session")
def life(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Life]:
    """The same without Ansible, on a small disk."""
    directory = tmp_path_factory.mktemp("life")
    disk = directory / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128m,nr_inodes=1k", "tmpfs", str(disk)], check=True)
    with pytest.MonkeyPatch.context() as patch:
        life = Life(directory, patch)
        yield life
        life.wipe()
    subprocess.run(["umount", str(disk)], check=True)
