# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens while a step runs: progress lines, reports and artifacts are views of events. PRIVATE."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

#: ``begin`` and ``end``: of a step. ``node``: one node is done. ``wait``: a sign of life. ``say``: anything else.
Kind = t.Literal["begin", "node", "wait", "say", "end"]


@dataclass(frozen=True)
class Event:
    """One thing worth telling."""

    #: UTC, ``2026-01-31T12:00:00.123Z``.
    time: str
    deployment: str
    #: Null where it is about no single node.
    node: t.Optional[str]
    step: str
    kind: Kind
    #: For people, one line.
    text: str
    #: How many are done of how many, where that can be said.
    done: t.Optional[int] = None
    of: t.Optional[int] = None
    schema: t.Literal["immutable.compose/event/1"] = "immutable.compose/event/1"
