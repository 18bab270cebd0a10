# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How nodes fare: said as they do, and summed up. PRIVATE to the collection."""

from __future__ import annotations

import time
import typing as t
from dataclasses import replace

from ..model.result import Evidence, NodeResult
from ..progress import HEARTBEAT, TOLD, Progress


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


def any_changed(nodes: t.Mapping[str, NodeResult]) -> bool:
    """Whether anything was done to any of them."""
    return any(result.changed for result in nodes.values())


def failed(nodes: t.Mapping[str, NodeResult]) -> list[str]:
    """Those that are not what was asked for, by name."""
    return sorted(name for name, result in nodes.items() if not result.ok)


def brief(nodes: t.Mapping[str, NodeResult]) -> dict[str, NodeResult]:
    """Without the evidence: settle says it, and controllers need not keep it twice."""
    return {name: replace(result, evidence=Evidence()) for name, result in nodes.items()}
