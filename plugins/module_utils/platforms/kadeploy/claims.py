# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machine each node has: ``machines.json`` in the state directory, for the inventory and for other deployments.

No machine is two nodes' at a time. Whoever reserves machines has them from OAR, which sees to that; others name them
in their files, and are looked after here. PRIVATE to the collection.
"""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass

from ...errors import InputError
from ...model import codec
from ...model.result import Problem


@dataclass(frozen=True)
class Claimed:
    """The file ``machines.json``."""

    #: By which way, and where, Kadeploy has the machines.
    site: str
    #: Node → its machine.
    nodes: t.Mapping[str, str]
    schema: t.Literal["immutable.compose/machines/1"] = "immutable.compose/machines/1"


class Claims:
    """Of one deployment.

    :param state: its state directory; those of other deployments are beside it.
    """

    def __init__(self, state: str) -> None:
        self._state = os.path.realpath(state)

    def machines(self) -> t.Mapping[str, str]:
        """Node → machine, as far as that is written down, and can be read."""
        claimed = _read(self._state)
        return claimed.nodes if claimed else {}

    def elsewhere(self, site: str, wanted: t.Mapping[str, str]) -> list[Problem]:
        """The nodes whose machines nodes of other deployments have.

        :param wanted: node → machine.
        """
        beside, own = os.path.split(self._state)
        entries = sorted(os.listdir(beside)) if os.path.isdir(beside) else []
        problems = []
        for deployment in entries:
            other = _read(os.path.join(beside, deployment)) if deployment != own else None
            if other is None or not _may_be_same(other.site, site):
                continue
            owners = {machine: node for node, machine in other.nodes.items()}
            problems += [
                Problem(
                    f"node {node!r} is to have the machine {machine}, which node {owners[machine]!r} of the deployment "
                    f"{deployment!r} has",
                    key="machine",
                    node=node,
                    remedy="give it another one, or destroy that deployment first",
                )
                for node, machine in wanted.items()
                if machine in owners
            ]
        return problems

    def write(self, site: str, nodes: t.Mapping[str, str]) -> None:
        """These nodes have these machines; others keep theirs."""
        there = _read(self._state)
        merged = Claimed(site, {**(there.nodes if there else {}), **nodes})
        if merged != there:
            codec.write(self._path, merged)

    def drop(self, names: t.Collection[str]) -> None:
        """These nodes have none any more."""
        there = _read(self._state)
        if there is None or not set(names) & set(there.nodes):
            return
        left = {name: machine for name, machine in there.nodes.items() if name not in names}
        if left:
            codec.write(self._path, Claimed(there.site, left))
        else:
            os.unlink(self._path)

    @property
    def _path(self) -> str:
        return os.path.join(self._state, "machines.json")


def _read(state: str) -> Claimed | None:
    try:
        return codec.read(Claimed, os.path.join(state, "machines.json"))
    except (OSError, InputError):
        return None


def _may_be_same(one: str, other: str) -> bool:
    """Whether two sites may be one; asked by different ways, nobody can tell."""
    return one == other or one.partition(" ")[0] != other.partition(" ")[0]
