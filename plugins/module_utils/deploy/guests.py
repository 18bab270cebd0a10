# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes of other deployments that are folded onto the machines of this one. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ..describe.seats import guests
from ..model.boot import Seen
from ..model.result import Problem
from ..platforms.problems import refuse


def end_guests(
    state: str,
    names: t.Iterable[str],
    observed: t.Mapping[str, Seen],
    carried: t.Mapping[str, t.Collection[str]] | None = None,
) -> dict[str, list[str]]:
    """Deployment → those of its nodes that end with their machines. They do only if the run starts them again.

    Where a machine has ended already, nothing is lost.

    :param state: of the deployment that has the machines.
    :param names: machines that are to be stopped.
    :param carried: deployment → nodes that the run is about, too, and starts again afterwards; ``None``: none.
    :raises InputError: names the others, and the remedy.
    """
    remedy = "destroy that deployment first" + ("" if carried is None else ", or deploy both in one run")
    problems, ends = list[Problem](), dict[str, list[str]]()
    there, running = guests(state), [name for name in names if observed[name].state in ("running", "silent")]
    for machine in running:
        for deployment, nodes in there.get(machine, {}).items():
            ends.setdefault(deployment, []).extend(nodes)
            left = [node for node in nodes if node not in (carried or {}).get(deployment, ())]
            if left:
                problems.append(
                    Problem(
                        f"{machine!r} is the machine of {', '.join(left)} of deployment {deployment!r}, folded onto "
                        "it, which would end with it",
                        node=machine,
                        remedy=remedy,
                    )
                )
    refuse(problems)
    return {deployment: sorted(nodes) for deployment, nodes in ends.items()}
