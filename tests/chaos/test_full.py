# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk is full from any deed on: the run says which file it could not write, and the next one comes to its end."""

from __future__ import annotations

import itertools
import os
import random

import pytest

from .life import Life
from .steps import NAMES, STEPS
from .tape import Tape

FILLS = int(os.environ.get("CHAOS_FILLS", "200"))

CASES = [
    pytest.param(step, id=f"{number}-{step}", marks=pytest.mark.xdist_group(f"full-{number // len(NAMES)}"))
    for number, step in zip(range(FILLS), itertools.cycle(NAMES), strict=False)
]


@pytest.mark.parametrize("step", CASES)
def test_the_disk_is_full_and_the_step_is_taken_again(life: Life, step: str, chance: random.Random) -> None:
    life.reach(step)
    life.at = None
    deed = chance.randint(1, life.deeds[step])
    filling = life.disk / "filling"
    filling.mkdir()

    def happen(tape: Tape) -> None:
        with (filling / "0").open("wb") as stream, pytest.raises(OSError, match="No space left"):
            while True:
                os.write(stream.fileno(), bytes(4096))
        with pytest.raises(OSError, match="No space left"):
            for number in itertools.count(1):
                (filling / f"{number}").touch()

    ended = life.live(step, deed, happen)
    print(f"deed {deed}:", ended)
    for path in filling.iterdir():
        path.unlink()
    filling.rmdir()
    assert "Traceback" not in ended.said
    if ended.code != STEPS[step].code:
        assert ended.code == 2 and f"No space left on device: '{life.state}" in ended.said
        assert "Make room there, and run again" in ended.said
    life.finish(step)
    life.check(step)
