# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machine each node of a deployment has. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from functools import cached_property

from ...model.boot import Boot, Target
from ...model.deployment import Deployment, Node
from ...model.result import Problem
from ...nodes.frontend import Frontend
from ...progress import Progress
from ..ledger import Ledger
from . import machines


class Placement:
    """Nodes on machines, stable across runs: what a node was last told to boot on, or was being told, it keeps.

    :param lent: gives the machines of the deployment's reservation, none where it has none.
    :param frontend: is asked for addresses that this host's resolver does not know.
    """

    def __init__(
        self,
        deployment: Deployment,
        lent: t.Callable[[], t.Sequence[str]],
        frontend: Frontend | None,
        progress: Progress,
    ) -> None:
        self._nodes = {node.name: node for node in deployment.nodes}
        self._state = deployment.state
        self._lent = lent
        self._frontend = frontend
        self._progress = progress
        #: Machines that have failed in this step: another one takes their place, if there is one.
        self._broken: set[str] = set()
        #: Node → address of the machine that has taken the place of such a one.
        self._moved: dict[str, str] = {}

    @cached_property
    def bound(self) -> dict[str, str]:
        """Node → machine, of the nodes of the deployment that have one."""
        last = {name: self._last(name)[-1:] for name in self._nodes}
        known = {name: machine for name, found in last.items() for machine in found}
        return machines.bind(list(self._nodes.values()), known, self._lent())

    def lend(self) -> None:
        """The reservation has its machines now: nodes without one get theirs."""
        vars(self).pop("bound", None)

    def told(self, name: str) -> str:
        """The machine that a node was last told to boot on; empty if it never was."""
        return _machine_of(Ledger(self._state, name).readable()[0])

    def machines(self, name: str) -> list[str]:
        """Where a node is, or may be; none if nobody knows."""
        return self._last(name) or list(filter(None, [self.bound.get(name)]))

    def _last(self, name: str) -> list[str]:
        """The machine that a node was last told to boot on, then that where it was being told when a run was killed."""
        meant = _machine_of(Ledger(self._state, name).intended())
        return list(dict.fromkeys(filter(None, (self.told(name), meant))))

    def machine(self, name: str) -> str:
        """Where a node is now, or is going to be; empty if nobody knows."""
        return self.told(name) or self.bound.get(name, "")

    def elsewhere(self, name: str) -> tuple[str, ...]:
        """In words, that a node is not where it should be."""
        told, bound = self.told(name), self.bound.get(name, "")
        if not told or not bound or told == bound:
            return ()
        return tuple(filter(None, (f"on machine {told}, not on {bound}", self.data_left(name))))

    def data_left(self, name: str) -> str:
        """In words, that a node's data are on a machine that it leaves, or has left; empty if none are."""
        boot, bound = Ledger(self._state, name).readable()[0], self.bound.get(name, "")
        told = self.told(name)
        if boot is None or not boot.image.volumes or not told or not bound or told == bound:
            return ""
        return f"its data ({', '.join(boot.image.volumes)}) stay on {told}, and are not on {bound}"

    def problems(self) -> list[Problem]:
        """The nodes of the deployment without a machine of their own."""
        return machines.unbound(list(self._nodes.values()), self.bound)

    def address(self, node: Node) -> str | None:
        """Of the machine that it has now."""
        return self._moved.get(node.name, node.address)

    def addresses(self, nodes: t.Sequence[Node]) -> dict[str, str]:
        """Node → address of its machine, for those that the deployment file gives none."""
        asked = [node.name for node in nodes if not node.address_given and node.name in self.bound]
        found = machines.addresses({self.bound[name] for name in asked}, self._frontend)
        return {name: found[self.bound[name]] for name in asked if self.bound[name] in found}

    def failed(self, names: t.Iterable[str]) -> None:
        """These machines have failed, and are not taken again in this step if there are others."""
        self._broken.update(names)

    def replace_failed(self, node: Node) -> None:
        """Give a node whose machine has failed another one, if there is one. One that the file names stays."""
        old = self.bound.get(node.name)
        if old is None or old not in self._broken or node.options.get("machine") or node.address_given:
            return
        taken = {*self._broken, *self.bound.values()}
        spares = [each for each in machines.offered(node, self._lent()) if each not in taken]
        found = machines.addresses(spares[:1], self._frontend)
        for spare, address in found.items():
            self.bound[node.name], self._moved[node.name] = spare, address
            left = self.data_left(node.name)
            self._progress.say(f"switch: {spare} takes the place of {old} for {node.name}{left and f': {left}'}")

    def left(self, targets: t.Sequence[Target], taken: t.Collection[str]) -> dict[str, str]:
        """Machine → node, of the machines that nodes move away from.

        :param taken: where the targets go.
        """
        still = {*taken, *self.bound.values()}
        told = {self.told(target.node.name): target.node.name for target in targets}
        return {machine: name for machine, name in told.items() if machine and machine not in still}


def _machine_of(boot: Boot | None) -> str:
    return str(boot.options.get("machine") or "") if boot is not None else ""
