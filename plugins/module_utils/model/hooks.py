# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks of the user that are part of a deployment, and who is out of service because of them. PRIVATE."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Hooks:
    """Files with tasks, on the controller; empty where there is none. Each runs for a node, as that host."""

    #: Before the node goes down: it is taken out of service.
    drain: str = ""
    #: Once it is verified, or back on what was verified last: it is put into service.
    undrain: str = ""
    #: Once it is back on what was verified last, before it is put into service.
    back: str = ""
    #: At the end of a run that changed the node, whatever came of it.
    end: str = ""


@dataclass(frozen=True)
class Ask:
    """A step goes on only when this hook has run."""

    #: Its name: a field of `Hooks`.
    hook: str
    #: For which of the nodes.
    nodes: list[str]
    #: Of this one time, so that no answer is taken for that to another.
    token: str


@dataclass(frozen=True)
class HookLog:
    """Which hooks have run in a run, up to now."""

    #: What the step waits for.
    asked: t.Optional[Ask] = None
    #: Hook → node → why it failed; empty if it did not. Of `drain` and `undrain` the last one counts.
    ran: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class OutOfService:
    """Nodes that were taken out of service, or were started and not put into it yet."""

    #: Since when: UTC, `2026-01-31T12:00:00Z`.
    nodes: dict[str, str]
    schema: t.Literal["immutable.compose/service/1"] = "immutable.compose/service/1"
