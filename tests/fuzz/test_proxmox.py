# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrong answers of a Proxmox VE in each step of a deployment's life: a message for people, and nobody waits on."""

from __future__ import annotations

import random
import typing as t

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from .attack import BATCH, patience
from .harm import VALUES, chance, junk
from .tapes import LIVES, Life
from .test_readers import SEEDS

#: Answers of a life and a seed that come to harm.
COUNT = 600


def test_there_are_enough_answers() -> None:
    assert COUNT * len(LIVES) * len(SEEDS) >= 5000


@pytest.fixture(scope="module", params=LIVES)
def life(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Life:
    return Life(tmp_path_factory.mktemp("life") / "cluster", LIVES[request.param])


def test_a_life_can_be_had_again(life: Life) -> None:
    for name in life.tapes:
        assert life.again(name, -1, random.Random(1), []) == 0


@pytest.mark.parametrize("number", SEEDS)
def test_wrong_answers(life: Life, number: str) -> None:
    places = [(name, index) for name, tape in life.tapes.items() for index in range(len(tape.calls))]
    harmed = 0

    @seed(SEEDS[number])
    @settings(
        max_examples=COUNT // BATCH,
        database=None,
        deadline=None,
        phases=[Phase.generate],  # steps have threads: what is smaller need not fail again
        suppress_health_check=list(HealthCheck),
    )
    @given(chance, junk)
    def one(chance_: random.Random, found: list[t.Any]) -> None:
        nonlocal harmed
        for _answer in range(BATCH):
            step, index = chance_.choice(places)
            values = [chance_.choice(found if chance_.random() < 0.5 else VALUES) for _change in range(2)]
            with patience(20):
                harmed += life.again(step, index, chance_, values[: chance_.randint(1, 2)])

    for _turn in range(5):
        if harmed < COUNT:
            one()
    assert harmed >= COUNT * 0.8  # steps with threads do not always ask as often
