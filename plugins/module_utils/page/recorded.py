# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is to report of a deployment: its last run, its releases, what was found between runs. PRIVATE."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..model.event import Event
from ..model.findings import Findings
from ..model.release import Release
from ..model.report import Check, ReportDocument


@dataclass(frozen=True)
class Looked:
    """A verification."""

    #: Of its directory in ``results``: ``verify``, ``script``, ``switch``, ``revert``.
    name: str
    #: Seconds since 1970 at its end.
    time: float
    report: ReportDocument

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.report.checks if not check.ok]

    @property
    def passed(self) -> dict[str, list[Check]]:
        """By node; what is no node's, by an empty name."""
        found: dict[str, list[Check]] = {}
        for check in self.report.checks:
            if check.ok:
                found.setdefault(check.node or "", []).append(check)
        return found


@dataclass(frozen=True)
class Recorded:
    """What a page is made of. Secrets are masked in it."""

    deployment: str
    platform: str
    #: Of the last run, in order; empty if there was none.
    events: t.Sequence[Event]
    #: Those kept, the newest first.
    releases: t.Sequence[Release]
    #: Number of the one that runs.
    current: int | None
    #: Since the last run began, in order.
    looked: t.Sequence[Looked]
    #: What the readers have found, if they were asked.
    drift: Findings | None = None
    audit: Findings | None = None
