# SPDX-License-Identifier: GPL-3.0-or-later
"""Files whose tests are the steps of one story, marked ``story``: each step goes on where the one before ended."""

from __future__ import annotations

from itertools import groupby

import pytest


def bring_those_before(items: list[pytest.Item]) -> None:
    """Put the steps before it in front of a step that is run alone (``pytest FILE::STEP``)."""
    whole: list[pytest.Item] = []
    for module, group in groupby(items, key=lambda item: item.getparent(pytest.Module)):
        chosen = list(group)
        if module is not None and module.get_closest_marker("story"):
            steps = [step for step in module.collect() if isinstance(step, pytest.Item)]
            last = max(index for index, step in enumerate(steps) if step.nodeid in {item.nodeid for item in chosen})
            chosen = chosen if len(chosen) > last else steps[: last + 1]
        whole += chosen
    items[:] = whole
