"""Names of units and patterns for them, as systemd reads both."""

from __future__ import annotations

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe.units import matches


@pytest.mark.parametrize(
    ("unit", "patterns", "yes"),
    [
        ("backup.service", ["backup.service"], True),
        ("backup.service", ["backup"], True),
        ("backup.timer", ["backup"], False),
        ("backup-7.service", ["backup"], False),
        ("backup-7.service", ["backup-*"], True),
        ("backup-7.service", ["backup-?.service"], True),
        ("backup-7.service", ["backup-[0-5].service", "x"], False),
        ("run@a.b.service", ["run@*.service"], True),
        ("run@a.b.service", ["run@a.b"], True),
        ("srv-data.mount", ["srv-data.mount"], True),
        ("Backup.service", ["backup.service"], False),
        ("nfs", ["nfs"], True),  # of the Shepherd
        ("x.service", [], False),
    ],
)
def test_matches(unit: str, patterns: list[str], yes: bool) -> None:
    assert matches(unit, patterns) is yes
