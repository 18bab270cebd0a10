# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run has decided, done and found out. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .hooks import HookLog
from .image import PlannedImage
from .plan import Plan
from .result import NodeResult


@dataclass(frozen=True)
class Verified:
    """What a verification found."""

    #: The built-in checks, by node.
    nodes: dict[str, NodeResult]
    #: How many checks passed and failed.
    passed: int
    failed: int
    #: Why the test script failed; empty if it did not.
    script: str = ""
    #: The node at which the test script failed, if it was at one.
    script_node: t.Optional[str] = None
    #: Nodes that were booted again because they were ill.
    healed: list[str] = field(default_factory=list)

    @property
    def checks(self) -> dict[str, int]:
        """How many checks passed and failed, as results and releases have it."""
        return {"passed": self.passed, "failed": self.failed}

    def failures(self) -> dict[str, str]:
        """Node → what is wrong with it, the test script included where it failed at a node."""
        found = {name: result.message for name, result in self.nodes.items() if not result.ok}
        if self.script_node is not None:
            found.setdefault(self.script_node, self.script)
        return found


@dataclass(frozen=True)
class Journal:
    """One run on one deployment, up to now."""

    #: What it decided.
    plan: Plan
    #: What its evaluation came to, by what was evaluated: the build need not repeat it.
    evaluated: dict[str, PlannedImage] = field(default_factory=dict)
    #: Why a step came to nothing, for the whole deployment.
    problem: str = ""
    #: What was wrong, before anything was touched, with nodes that stay as they are.
    ill_before: dict[str, str] = field(default_factory=dict)
    #: How each node fared that was switched or told its peers; null as long as nothing was.
    switched: t.Optional[dict[str, NodeResult]] = None
    #: Nodes that are being booted again because they are ill.
    healing: list[str] = field(default_factory=list)
    #: How those of them fared that were.
    healed: dict[str, NodeResult] = field(default_factory=dict)
    #: What the verification found; null as long as there was none.
    verified: t.Optional[Verified] = None
    #: The user's hooks that have run.
    hooks: HookLog = field(default_factory=HookLog)
    #: The verdict: what is wrong with each node; null as long as there is none.
    failures: t.Optional[dict[str, str]] = None
    #: How each node fared that was taken back.
    reverted: dict[str, NodeResult] = field(default_factory=dict)
    schema: t.Literal["immutable.compose/journal/1"] = "immutable.compose/journal/1"
