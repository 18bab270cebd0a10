# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens in a run, as it happens. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .free import Json

#: ``run``: a run begins. ``begin`` and ``end``: a step does; ``failed``: it has come to nothing. ``wave``, ``round``:
#: nodes are switched or taken back together. ``node``: something became of a node. ``line``: any other of progress.
EventKind = t.Literal["run", "begin", "end", "failed", "wave", "round", "node", "line"]
#: ``staged``: what it is to boot is where it boots. ``down``: it is being stopped, or made. ``booting``: its machine
#: was started. ``verified``: it has passed the built-in checks. ``back``: it was taken back, and is well. ``failed``.
NodeState = t.Literal["", "staged", "down", "booting", "verified", "back", "failed"]


@dataclass(frozen=True)
class Event:
    """Something that happened in a run."""

    brief: t.ClassVar[bool] = True

    #: Seconds since 1970, UTC, by the clock of the host that builds.
    time: float
    #: What kind of thing.
    kind: EventKind
    #: ``plan``, ``build``, ``stage``, ``switch``, ``verify`` or ``settle``.
    step: str = ""
    #: Of the event ``node``: its name, and what has become of it.
    node: str = ""
    state: NodeState = ""
    #: Who runs, of ``run``; why it failed, of ``node``; else the line.
    text: str = ""
    #: What the step's module returned, of ``end`` and ``failed``; when its process was started, of ``run``.
    result: t.Optional[Json] = None
