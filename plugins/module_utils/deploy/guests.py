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


def spare_guests(state: str, names: t.Iterable[str], observed: t.Mapping[str, Seen]) -> None:
    """Let no node end that has others on it. Where it has ended already, nothing is lost.

    :param state: of the deployment that has the machines.
    :param names: nodes that are to be stopped.
    :raises InputError: names them, and the remedy.
    """
    carried = guests(state)
    refuse(
        [
            Problem(
                f"{name!r} is the machine of {carried[name]}, folded onto it, which would end with it",
                node=name,
                remedy="destroy that deployment first, and deploy it again afterwards",
            )
            for name in names
            if name in carried and observed[name].state in ("running", "silent")
        ]
    )
