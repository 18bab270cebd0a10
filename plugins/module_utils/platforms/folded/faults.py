# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the machine of a node, before anything is touched. PRIVATE to the collection."""

from __future__ import annotations

import os
import typing as t

from ...model.deployment import Fold
from ...model.result import Problem
from ..base import Neighbour
from .machines import Answer, Machines
from .scripts import PACKAGES


def about_to_boot(neighbours: t.Iterable[Neighbour], fold: Fold) -> set[str]:
    """Machines that the same run boots. :param neighbours: deployments that it has planned before."""
    state = os.path.realpath(fold.state)
    theirs = (each.starts for each in neighbours if os.path.realpath(each.platform.deployment.state) == state)
    return {name for starts in theirs for name in starts}


def unfit(node: str, machine: str, onto: str, machines: Machines, *, exists: bool) -> t.Iterator[Problem]:
    """Why a machine cannot have a node.

    :param onto: the deployment that has the machine.
    :param exists: the node may run there already.
    """
    if machine not in machines.addresses:
        yield Problem(
            f"its machine {machine!r} is not up: it was never verified",
            node=node,
            remedy=f"deploy {onto!r} first, or both at once",
        )
    elif machine not in machines.answers:
        if not exists:  # else it may run, and be silent: the engine knows what to do then
            yield Problem(f"its machine {machine!r} does not answer: {machines.why[machine]}", node=node)
    else:
        for what in machines.answers[machine].lacks:
            yield Problem(f"its machine {machine!r} lacks {_in_words(what)}", node=node)


def _in_words(what: str) -> str:
    kernel, _colon, ability = what.partition(":")
    if ability:
        return f"{ability}, which its kernel does not have, or may not load"
    return f"{kernel!r} (Debian package {PACKAGES.get(kernel, kernel)!r})"


def crowded(
    memory: t.Mapping[str, int], seats: t.Mapping[str, str], answers: t.Mapping[str, Answer], booting: t.Container[str]
) -> t.Iterator[Problem]:
    """The nodes for which their machines have no room.

    :param memory: MiB of each node that is to be started.
    :param booting: machines that are empty before that.
    """
    for machine, answer in sorted(answers.items()):
        names = [name for name in memory if seats[name] == machine]
        needed, available = (
            sum(memory[name] for name in names),
            (answer.total if machine in booting else answer.available) >> 10,
        )
        if needed > available:
            yield from (
                Problem(
                    f"no room on machine {machine!r}: {available} MiB of memory are available, its nodes to start need "
                    f"{needed} (option 'memory')",
                    node=name,
                )
                for name in names
            )


def volumeless(role: str, volumes: t.Iterable[str]) -> str:
    """Why nodes of a role with data volumes cannot be folded."""
    named = ", ".join(sorted(volumes))
    return f"role {role!r} has data volumes ({named}), which folded nodes lack: their machines forget everything"
