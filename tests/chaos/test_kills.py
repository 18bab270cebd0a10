# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are killed at random moments: the next one comes to the end that an undisturbed one comes to."""

from __future__ import annotations

import itertools
import os
import random

import pytest

from .steps import NAMES
from .victim import disturb
from .world import World

KILLS = int(os.environ.get("CHAOS_KILLS", "200"))
#: So many runs one after the other are killed before one is not.
IN_A_ROW = 3

#: All steps, again and again; each time in one process of pytest.
CASES = [
    pytest.param(step, id=f"{number}-{step}", marks=pytest.mark.xdist_group(f"kills-{number // len(NAMES)}"))
    for number, step in zip(range(-(-KILLS // IN_A_ROW)), itertools.cycle(NAMES), strict=False)
]


@pytest.mark.parametrize("step", CASES)
def test_killed_and_run_again(world: World, step: str, chance: random.Random) -> None:
    world.undisturbed(step)
    world.reach(step)
    world.at = None
    for _time in range(IN_A_ROW):
        print(disturb(world, step, chance), world.said(), sep="\n")
    world.finish(step)
    world.check(step)
