# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether nodes that came up stay up, and are there for others. PRIVATE to the collection."""

from __future__ import annotations

import time
import typing as t
from dataclasses import replace

from ..model.report import Check
from ..nodes.connection import Connection
from ..nodes.probe import Expected
from ..progress import Progress
from .builtin import Look, Looked, check_nodes
from .judge import port_check
from .outside import Port, ask_from_outside


def look_again(
    nodes: t.Mapping[str, Expected], found: t.Mapping[str, Looked], look: Look, stable_for: float, progress: Progress
) -> dict[str, Looked]:
    """Look a second time at nodes that are well, but came up less than ``stable_for`` seconds ago, once they have been.

    All of them are waited for together. What the others were found to be is left as it is.
    """
    young = {name: nodes[name] for name, node in found.items() if node.ok and node.up < stable_for}
    if not young:
        return dict(found)
    pause = stable_for - min(found[name].up for name in young)
    progress.say(f"verify: all are up; looking again in {pause:.0f} s (stable_for)")
    time.sleep(pause)
    again = check_nodes(young, replace(look, wait=False), progress)
    return {**found, **again}


def ask_others(
    nodes: t.Mapping[str, Expected],
    found: t.Mapping[str, Looked],
    others: t.Sequence[str],
    connect: t.Callable[[str], Connection],
) -> dict[str, list[Check]]:
    """The checks of all nodes. A port is open only if another node reaches it, too, where there is one.

    :param others: nodes that may be asked where less than two are well.
    """
    well = [name for name, node in found.items() if node.ok]
    ports = [
        Port(name, address, number)
        for name in well
        for address in [nodes[name].address]
        if address
        for number in nodes[name].ports
    ]
    answers = ask_from_outside(ports, well if len(well) > 1 else [*well, *others], connect)
    told = {(port.node, port_check(port.number)): (port, answer) for port, answer in answers.items() if answer.asked}

    def judged(check: Check) -> Check:
        port, answer = told.get((str(check.node), check.name), (None, None))
        if port is None or answer is None:
            return check
        if answer.reached:
            return replace(check, seen=f"{port.address}:{port.number}, asked by {answer.asked[-1]}")
        who = ", ".join(answer.asked)
        message = f"{port.address}:{port.number} accepts connections of the node itself, but not of {who}: a firewall?"
        return replace(check, ok=False, message=message, seen="")

    return {name: [judged(check) for check in node.checks] for name, node in found.items()}
