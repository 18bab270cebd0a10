# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which node gets which machine. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from collections import Counter
from dataclasses import dataclass

from ...model.deployment import Fold


@dataclass(frozen=True)
class Seat:
    """What a node asks for."""

    #: The machine that the deployment file says; empty: any.
    machine: str
    #: MiB.
    memory: int


def seated(
    nodes: t.Mapping[str, Seat], fold: Fold, room: t.Mapping[str, int], kept: t.Mapping[str, str]
) -> dict[str, str]:
    """Node → machine. Nodes stay where they are, as long as the deployment file does not say otherwise.

    ``spread`` gives a node the machine with the fewest, among those of the kind that has the fewest; ``pack`` the first
    that has room, among those of a kind and then machines that have some already; without room, as ``spread``.

    :param nodes: in the order in which they choose.
    :param room: MiB of each machine; only ``pack`` asks.
    :param kept: where nodes are.
    """
    found: dict[str, str] = {}
    for name, seat in nodes.items():
        machine = seat.machine or kept.get(name, "")
        if machine in fold.machines:
            found[name] = machine
    on = Counter(found.values())
    kinds = Counter(fold.machines[machine] for machine in found.values())
    taken = Counter[str]()
    for name, machine in found.items():
        taken[machine] += nodes[name].memory
    order = {machine: number for number, machine in enumerate(fold.machines)}
    for name, seat in nodes.items():
        if name in found:
            continue
        fits = [each for each in order if fold.place == "pack" and taken[each] + seat.memory <= room.get(each, 0)]
        if fits:
            chosen = min(fits, key=lambda each: (not kinds[fold.machines[each]], not on[each], order[each]))
        else:
            chosen = min(order, key=lambda each: (kinds[fold.machines[each]], on[each], order[each]))
        found[name] = chosen
        on[chosen] += 1
        kinds[fold.machines[chosen]] += 1
        taken[chosen] += seat.memory
    return {name: found[name] for name in nodes}
