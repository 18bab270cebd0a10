# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platforms whose machines remember nothing but what they run, such as bare metal. PRIVATE to the collection.

What was told and what was verified is in the :class:`Ledger`: going back is to boot what it says. What runs is asked of
the machines, or of the nodes themselves.
"""

from __future__ import annotations

import typing as t
from abc import abstractmethod
from dataclasses import replace

from ..model.boot import Boot, Seen, Target
from ..model.deployment import Deployment, Node
from ..model.document import NodeDocument
from ..model.result import NodeResult, Problem
from ..progress import Progress
from .base import Platform, Tell
from .ledger import Ledger, foreign


class ForgetfulPlatform(Platform):
    """Boots machines, many with one call, and remembers for them."""

    def __init__(self, deployment: Deployment, progress: Progress) -> None:
        super().__init__(deployment, progress)
        self.state = deployment.state

    # -- what a platform adds ------------------------------------------------------------------------------------

    @abstractmethod
    def ask(self, names: t.Collection[str]) -> dict[str, Seen]:
        """State of these nodes, and identity of what runs; those that are not in the answer are absent."""

    @abstractmethod
    def boot(self, targets: t.Sequence[Target], tell: Tell) -> dict[str, NodeResult]:
        """Boot these targets, whatever the machines run: a whole wave with one call, if the platform can.

        A node that is lost, or whose machine fails, is that node's result. Called again with what is under way already,
        after a run was killed, it goes on with that or begins anew.
        """

    @abstractmethod
    def release(self, names: t.Sequence[str], *, data: bool, tell: Tell) -> dict[str, NodeResult]:
        """The nodes end: what their machines do then is the platform's."""

    def stop(self, names: t.Sequence[str], tell: Tell) -> dict[str, NodeResult]:
        """Take down nodes that have never worked."""
        return self.release(names, data=False, tell=tell)

    # -- the platform --------------------------------------------------------------------------------------------

    def check(self, nodes: t.Sequence[Node]) -> list[Problem]:
        return foreign(self.state, self.name)

    def observe(self, nodes: t.Sequence[Node]) -> dict[str, Seen]:
        names = sorted({*(node.name for node in nodes), *Ledger.names(self.state)})
        asked = self.ask(names)
        return {name: self._remembered(name, asked.get(name, Seen("absent"))) for name in names}

    def switch(self, targets: t.Sequence[Target], tell: Tell) -> dict[str, NodeResult]:
        boots = {target.node.name: self._boot_of(target) for target in targets}
        asked = self.ask([target.node.name for target in targets if not target.fresh])
        outcomes = {}
        for target in targets:
            name = target.node.name
            if not target.fresh and self._runs(name, boots[name], asked.get(name)):
                outcomes[name] = NodeResult(ok=True, message=f"runs {target.image.identity}")
                tell(name, outcomes[name])
        rest = [target for target in targets if target.node.name not in outcomes]
        return {**outcomes, **self._boot_all(rest, tell)}

    def commit(self, nodes: t.Sequence[Node], release: int) -> None:
        for node in nodes:
            Ledger(self.state, node.name).commit()

    def revert(self, nodes: t.Sequence[Node], tell: Tell) -> dict[str, NodeResult]:
        asked = self.ask([node.name for node in nodes])
        outcomes: dict[str, NodeResult] = {}
        back, never = [], []
        for node in nodes:
            verified = Ledger(self.state, node.name).readable()[1]
            if verified is None:
                never.append(node.name)
            elif self._runs(node.name, verified, asked.get(node.name)):
                message = f"runs its verified image {verified.image.identity}"
                outcomes[node.name] = NodeResult(ok=True, message=message)
                tell(node.name, outcomes[node.name])
            else:
                was = replace(node, options=verified.options)
                back.append(Target(was, verified.image, verified.document, verified.document_digest, fresh=True))
        outcomes.update(self._boot_all(back, tell))
        if never:
            for name, outcome in self.stop(never, tell).items():
                why = "there is no verified image to go back to"
                outcomes[name] = replace(outcome, message=outcome.message or why)
        return outcomes

    def refresh(self, node: Node, document: NodeDocument, document_digest: str) -> None:
        Ledger(self.state, node.name).refresh(document, document_digest)

    def remove(self, names: t.Sequence[str], *, data: bool, tell: Tell) -> dict[str, NodeResult]:
        outcomes = self.release(names, data=data, tell=tell)
        for name, outcome in outcomes.items():
            if outcome.ok and Ledger(self.state, name).forget():
                outcomes[name] = replace(outcome, changed=True)
        return outcomes

    # -- what is remembered ----------------------------------------------------------------------------------------

    def _boot_of(self, target: Target) -> Boot:
        options = {key: self.option(target.node, key) for key in self.options}
        return Boot(self.name, target.image, target.document, target.document_digest, options)

    def _remembered(self, name: str, seen: Seen) -> Seen:
        """What was seen of a node, and what only the ledger knows of it."""
        ledger = Ledger(self.state, name)
        if seen.state == "absent" and not ledger.exists():
            return seen
        current, verified = ledger.readable()
        under_way = ledger.is_under_way()
        if seen.state == "silent" and under_way:  # it was being replaced: nothing is lost by doing that again
            seen = Seen("stopped")
        identity = seen.identity
        if seen.state in ("silent", "stopped") and current is not None and not under_way:
            identity = identity or current.image.identity
        knows = current is not None and not under_way and identity == current.image.identity
        return replace(
            seen,
            state="stopped" if seen.state == "absent" else seen.state,  # its machine is gone, and it is still known
            identity=identity,
            document=current.document_digest if knows and current else None,
            verified=verified.image.identity if verified else None,
            leftovers=seen.leftovers
            or under_way
            or (verified is not None and verified != current and verified.image.identity == identity),
        )

    def _runs(self, name: str, boot: Boot, seen: Seen | None) -> bool:
        """Whether a node runs just this."""
        ledger = Ledger(self.state, name)
        current = ledger.readable()[0]
        return (
            seen is not None
            and seen.state == "running"
            and seen.identity == boot.image.identity
            and current is not None
            and current.boots_like(boot)
            and not ledger.is_under_way()
        )

    def _boot_all(self, targets: t.Sequence[Target], tell: Tell) -> dict[str, NodeResult]:
        """Boot, with the intent written down before, and the outcome of each as soon as it is known."""
        if not targets:
            return {}
        boots = {target.node.name: self._boot_of(target) for target in targets}
        for name, boot in boots.items():
            Ledger(self.state, name).intend(boot)

        def heard(name: str, outcome: NodeResult) -> None:
            if outcome.ok:
                Ledger(self.state, name).told(boots[name])
            tell(name, outcome)

        return self.boot(targets, heard)
