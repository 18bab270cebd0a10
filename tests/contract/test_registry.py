# SPDX-License-Identifier: GPL-3.0-or-later
"""No platform goes without the contract."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.immutable.compose.plugins.module_utils.platforms.registry import PLATFORMS


def test_every_platform_of_the_registry_brings_its_ground() -> None:
    there = {path.stem for path in (Path(__file__).parent / "platforms").glob("*.py")}
    assert set(PLATFORMS) - there == set(), "see README.md"
