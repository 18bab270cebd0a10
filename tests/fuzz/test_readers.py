# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a reader is given, it takes, or refuses with a message for people: no traceback, and nobody waits for it."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import typing as t
from pathlib import Path

import pytest

from . import kept, said, services, written
from .attack import Reader, attack

SEEDS = {"first": 1, "second": 2, "random": int(os.environ["FUZZ_SEED"])}
#: Inputs of a reader and a seed, where its share is 1.
COUNT = 280
#: What all of them get.
ENOUGH = 50_000


def _readers() -> t.Iterator[Reader]:
    directory = Path(tempfile.mkdtemp(prefix="compose-fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    for room in (kept, written, said, services):
        place = directory / room.__name__.rpartition(".")[2]
        place.mkdir()
        yield from room.readers(place)


READERS = list(_readers())


def test_there_are_enough_inputs() -> None:
    assert sum(int(COUNT * reader.share) for reader in READERS) * len(SEEDS) >= ENOUGH
    names = [reader.name for reader in READERS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("reader", READERS, ids=[reader.name for reader in READERS])
def test_reader(reader: Reader, seed: str) -> None:
    wanted = int(COUNT * reader.share)
    assert attack(reader, SEEDS[seed], wanted) >= wanted
