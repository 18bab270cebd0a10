# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How nodes fared, and what modules return of it. PRIVATE to the collection."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass, field

from ..model.result import NodeResult
from ..progress import HEARTBEAT, TOLD, Progress

#: What a module returns.
Result = dict[str, t.Any]


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
    script_node: str | None = None
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


class Tally:
    """Says how the nodes fare in a step: each in a line of its own, unless they are many.

    :param well: how one fares that is well.
    :param total: how many there are.
    :param done: how many of them have been told already.
    """

    def __init__(self, progress: Progress, step: str, well: str, total: int, done: int = 0) -> None:
        self._progress = progress
        self._step, self._well = step, well
        self._total, self._done = total, done
        self._when = time.monotonic()

    def __call__(self, name: str, outcome: NodeResult) -> None:
        self._done += 1
        now = time.monotonic()
        if outcome.ok and TOLD < self._total != self._done and now - self._when < HEARTBEAT:
            return
        self._when = now
        state = self._well if outcome.ok else f"failed: {own_words(name, outcome)}"
        self._progress.say(f"{self._step} {name}: {state} ({self._done} of {self._total})")


def own_words(name: str, outcome: NodeResult) -> str:
    """What went wrong with a node, for a reader who knows the node and the step already."""
    where, colon, words = outcome.message.partition(f", {name}: ")
    return words if colon and where.isalpha() else outcome.message


def to_result(nodes: t.Mapping[str, NodeResult]) -> Result:
    """Results of nodes as a module returns them."""
    return {
        "changed": any(result.changed for result in nodes.values()),
        "failed_nodes": sorted(name for name, result in nodes.items() if not result.ok),
        "nodes": {name: _compact(result) for name, result in nodes.items()},
    }


def _compact(result: NodeResult) -> Result:
    """What there is to say of one node: results of many nodes are kept by controllers."""
    return {"ok": result.ok, "changed": result.changed, **{key: value for key, value in vars(result).items() if value}}
