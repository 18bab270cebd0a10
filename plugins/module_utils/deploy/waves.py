# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nodes may go down together, so that a redundant service is never all down. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ..errors import ComposeError
from ..model.boot import Seen
from ..model.deployment import Limit


class Waves:
    """Cuts nodes into waves, one after the other, under the limits of a deployment.

    :param limits: ``at_most`` of the deployment.
    """

    def __init__(self, limits: t.Mapping[str, Limit]) -> None:
        self._limits = limits
        self._of: dict[str, list[str]] = {}
        for name, limit in limits.items():
            for node in limit.nodes:
                self._of.setdefault(node, []).append(name)

    def next(self, waiting: t.Sequence[str], down: t.Collection[str]) -> list[str]:
        """Those of ``waiting``, in order, that may go down now.

        :param down: nodes that are down already.
        """
        room = {name: limit.count - sum(node in down for node in limit.nodes) for name, limit in self._limits.items()}
        wave = []
        for node in waiting:
            limits = self._of.get(node, ())
            if all(room[name] > 0 for name in limits):
                for name in limits:
                    room[name] -= 1
                wave.append(node)
        return wave

    def cut(self, idle: t.Sequence[str], running: t.Sequence[str], down: t.Collection[str]) -> list[list[str]]:
        """All waves.

        :param idle: nodes that do not run: they all come first, and count as down until the next wave.
        :param running: nodes that run until their turn comes.
        :param down: other nodes that are down, and stay so.
        :raises ComposeError: so many are down already that a node's turn never comes.
        """
        wave = [*idle, *self.next(running, {*idle, *down})]
        waves = [wave] if wave else []
        waiting = without(running, wave)
        while waiting:
            wave = self.next(waiting, down)
            if not wave:
                raise ComposeError(f"{waiting[0]} cannot be replaced: {self.blocked(waiting[0], down)}")
            waves.append(wave)
            waiting = without(waiting, wave)
        return waves

    def blocked(self, node: str, down: t.Collection[str]) -> str:
        """Why a node may not go down now."""
        gone = {name: [other for other in self._limits[name].nodes if other in down] for name in self._of[node]}
        name = max(gone, key=lambda name: len(gone[name]) - self._limits[name].count)
        return f"at_most.{name} is {self._limits[name].count}, and down already: {', '.join(gone[name])}"


def out_of_service(observed: t.Mapping[str, Seen], batch: t.Collection[str]) -> set[str]:
    """Nodes outside of the batch that worked once, and are down now. Those that never worked are not missed."""
    return {
        name
        for name, seen in observed.items()
        if seen.state in ("stopped", "silent") and seen.verified is not None and name not in batch
    }


def without(names: t.Iterable[str], gone: t.Collection[str]) -> list[str]:
    """Names in their order, but for those that are gone."""
    gone = set(gone)
    return [name for name in names if name not in gone]
