# SPDX-License-Identifier: GPL-3.0-or-later
"""Inputs follow from numbers: some are the same each time, one is not, and can be had again."""

from __future__ import annotations

import os
import random

#: Chosen before pytest starts the processes that share the tests.
os.environ.setdefault("FUZZ_SEED", str(random.randrange(2**32)))


def pytest_report_header() -> str:
    seed = os.environ["FUZZ_SEED"]
    return f"fuzz: random seed {seed}; for the same inputs again: FUZZ_SEED={seed} make fuzz"
