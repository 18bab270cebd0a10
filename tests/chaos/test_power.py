# SPDX-License-Identifier: GPL-3.0-or-later
"""The power goes before any deed: what was not synced is empty, or half there. The next run comes to its end."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
from pathlib import Path

import pytest

from .life import Life, die
from .steps import NAMES, STEPS
from .tape import Tape, save

CUTS = int(os.environ.get("CHAOS_CUTS", "200"))

CASES = [
    pytest.param(step, id=f"{number}-{step}", marks=pytest.mark.xdist_group(f"power-{number // len(NAMES)}"))
    for number, step in zip(range(CUTS), itertools.cycle(NAMES), strict=False)
]


@pytest.mark.parametrize("step", CASES)
def test_power_is_cut_and_the_step_is_taken_again(life: Life, step: str, chance: random.Random) -> None:
    cut(life, step, chance)
    life.finish(step)
    life.check(step, rebooted=True)


@pytest.mark.parametrize("step", CASES[: CUTS // 4])
def test_power_is_cut_and_all_is_destroyed(life: Life, step: str, chance: random.Random) -> None:
    cut(life, step, chance)
    marked = {path: path.read_text() for path in life.state.glob("volumes/*/data/marker")}
    ended = life.live("destroy")
    assert ended.code == 0, ended
    assert {path: path.read_text() for path in life.state.glob("volumes/*/data/marker")} == marked
    assert (any(life.remains.picture().values()), list(life.state.glob("nodes/*"))) == (False, [])


def cut(life: Life, step: str, chance: random.Random) -> None:
    """Cut the power at some deed of a step."""
    life.reach(step)
    life.at = None
    deed = chance.randint(1, life.deeds[step])

    def happen(tape: Tape) -> None:
        save(tape, life.tape)
        die(tape)

    ended = life.live(step, deed, happen)
    assert ended.code in (-signal.SIGKILL, STEPS[step].code), ended  # some deeds are not done each time
    life.remains.end()
    for name in json.loads(life.tape.read_text())["volatile"]:
        path = Path(name)
        if path.is_file():
            kept = chance.choice([0, 0, path.stat().st_size // 2, path.stat().st_size])
            print(f"deed {deed}: {path} has {kept} of {path.stat().st_size} bytes")
            os.truncate(path, kept)
