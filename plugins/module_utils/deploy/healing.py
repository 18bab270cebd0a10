# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that are ill though nothing was done to them boot again, once. PRIVATE to the collection.

A fresh start is the point of a machine that forgets; twice would be a loop.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ..model.boot import Target
from ..model.journal import Journal, Verified
from ..model.result import NodeResult
from .engine import Engine
from .service import Service
from .waves import Waves


class Healing:
    """In one run.

    :param journal: in which :attr:`healed` are those of before, if a hook had to run meanwhile.
    """

    def __init__(self, engine: Engine, journal: Journal, service: Service) -> None:
        self.engine = engine
        self.journal = journal
        self.service = service
        #: How nodes fared that were booted again.
        self.healed = dict(journal.healed)

    def due(self, verified: Verified) -> list[str]:
        """Nodes on a verified image that are ill, where no change can be the reason. Silent is not ill."""
        plan = self.journal.plan
        innocent = not plan.unproven
        return [
            name
            for name in verified.failures()
            if name in verified.nodes
            and (not verified.nodes[name].silent or self.engine.deployment.silent == "replace")
            and plan.steps[name].verified
            and (innocent or (name in self.journal.ill_before and plan.steps[name].action in ("keep", "refresh")))
        ]

    def boot(self, ill: t.Sequence[str]) -> None:
        """As they are meant to be. :raises Paused: a hook has to run first."""
        targets = {name: self._again(name) for name in ill}
        waves = Waves(self.engine.deployment.at_most).cut([], list(ill), ())
        rollout = self.engine.rollout(self.journal.plan.composition, self.service)
        rollout.switch([[targets[name] for name in wave] for wave in waves], self.healed)

    def words(self, verified: Verified) -> Verified:
        """What was found afterwards, and what was done.

        :param verified: what was found.
        """
        nodes = dict(verified.nodes)
        well = [name for name, outcome in self.healed.items() if outcome.ok and nodes[name].ok]
        for name, why in self.engine.platform.confirm([self.engine.deployment.node(name) for name in well]).items():
            nodes[name] = NodeResult(ok=False, message=why)
        for name, outcome in self.healed.items():
            if not outcome.ok:
                nodes[name] = NodeResult(ok=False, changed=True, message=f"booted again: {outcome.message}")
            elif not nodes[name].ok:
                nodes[name] = replace(
                    nodes[name], changed=True, message=f"booted again, and still: {nodes[name].message}"
                )
            else:
                nodes[name] = replace(nodes[name], changed=True, message="was not well: booted again")
        return replace(verified, nodes=nodes, healed=list(self.healed))

    def _again(self, name: str) -> Target:
        engine = self.engine
        image = engine.releases.image(self.journal.plan.image(name))
        return replace(engine.documents.targets([engine.deployment.node(name)], {name: image})[0], fresh=True)
