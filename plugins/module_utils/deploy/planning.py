# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run has to do: what runs is held against what is meant, and what cannot be is refused. PRIVATE."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ..errors import InputError, nearest
from ..model.boot import Seen
from ..model.journal import Journal
from ..model.plan import SWITCHED, Plan
from ..model.release import Release
from ..model.result import Problem
from ..model.step import NodePlan, Planned
from ..platforms.problems import noting, refuse
from .desired import Meant
from .engine import Engine
from .guests import end_guests
from .journal import JournalFile
from .numbers import moved, tell
from .plan import Step, hooks_of, plan_node, render, staying, told
from .rollback import kept_release
from .service import Service
from .waves import Waves, out_of_service


@dataclass(frozen=True)
class Wish:
    """What a run is asked for besides bringing its batch to what the composition means."""

    #: Instead: the number of a kept release, ``current``, or ``previous``.
    release: str | None = None
    #: Nodes to be replaced in any case.
    replace: t.Sequence[str] = ()
    #: Nodes that exist but are no longer part of the deployment have to go.
    retire: bool = False


class Planning:
    """One plan.

    :param hold: the steps that follow do it: what they need to know is written down.
    """

    def __init__(self, engine: Engine, wish: Wish, *, hold: bool) -> None:
        self.engine = engine
        self.wish = wish
        self.hold = hold
        self.journal = JournalFile(engine.state)
        self.progress = engine.progress

    def planned(self, *, predict: bool) -> Planned:
        """What has to happen.

        :param predict: say ``changed`` if anything has to happen: Ansible shows a diff only then.
        """
        engine, platform = self.engine, self.engine.platform
        self._refuse_strangers(self.wish.replace)
        engine.releases.current()  # one that is damaged is refused before anything is touched
        problems: list[Problem] = []
        for node in engine.nodes:
            if self.hold:
                with noting(problems, node.name):
                    engine.documents.require_secrets(node)
            elif node.name in engine.deployment.unreadable:
                why = engine.deployment.unreadable[node.name]
                self.progress.say(f"plan {node.name}: its document is not compared: {why}")
        roles = sorted({node.role for node in engine.nodes})
        desired = None if self.wish.release is not None else engine.desired.composed(roles)
        if desired is not None:
            problems += desired.lacking(
                [node for node in engine.nodes if node.name not in engine.deployment.unreadable]
            )
            problems += platform.check_volumes(engine.nodes, desired.volumes)
        refuse([*problems, *platform.check(engine.nodes)])
        with engine.claim:
            return self._plan(desired, roles, predict=predict)

    def _plan(self, desired: Meant | None, roles: t.Sequence[str], *, predict: bool) -> Planned:
        """The plan of what is not refused, while nobody else changes anything."""
        engine, wish = self.engine, self.wish
        observed = engine.platform.observe(engine.nodes)
        kept = None if wish.release is None else kept_release(engine, self.journal, wish.release, observed)
        if desired is None:
            desired = engine.desired.released(t.cast(Release, kept), roles)
        steps = self._steps(desired, observed)
        ending = [name for name, step in steps.items() if step.action in (*SWITCHED, "retire")]
        ends = end_guests(engine.state, ending, observed, engine.carried)
        service = Service(engine.state, engine.deployment.hooks)
        waves = self._waves(steps, observed, service.out)
        if self.hold and self._retires():
            engine.addresses.forget(self._gone(observed))
        engine.addresses.require_free(engine.deployment, waves, staying(observed, steps))
        tell(engine.builder, moved(engine.releases, steps, desired.numbers), "plan", self.progress)
        plan = Plan(
            batch=[node.name for node in engine.nodes],
            steps=steps,
            waves=waves,
            composition=desired.meaning,
            packages={role: dict(packages) for role, packages in desired.packages.items()},
            release=kept.number if kept else None,
            previous=wish.release == "previous",
        )
        plan = replace(plan, settled=not plan.pending and self._is_settled(observed))
        if self.hold:
            self.journal.write(Journal(plan, engine.builder.evaluated))
        if engine.absent:
            names = ", ".join(sorted(engine.absent))
            self.progress.say(f"plan: not in the inventory of this run, and left as they are: {names}")
        hooks = hooks_of(engine.deployment.hooks, plan, observed, service.out)
        for line in told(plan, hooks, ends):
            self.progress.say(line)
        alike = [step for step in plan.steps.values() if step.image == plan.composition.images.get(step.role)]
        changes = engine.desired.package_changes(alike, plan.packages)
        return Planned(
            changed=predict and plan.pending,
            pending=plan.pending,
            settled=plan.settled,
            nodes={
                name: NodePlan(each.action, each.role, each.image, each.running, each.why)
                for name, each in steps.items()
            },
            waves=plan.waves,
            images=plan.composition.images,
            packages=changes,
            release=plan.release,
            hooks=hooks,
            ends=ends,
            diff=render(steps, changes),
        )

    def _refuse_strangers(self, names: t.Sequence[str]) -> None:
        members = [node.name for node in self.engine.deployment.nodes]
        for name in names:
            if name not in members:
                raise InputError(
                    f"replace has {name!r}, expected nodes of the deployment {self.engine.deployment.name!r}"
                    f"{nearest(name, members)}"
                )

    def _steps(self, desired: Meant, observed: t.Mapping[str, Seen]) -> dict[str, Step]:
        engine = self.engine
        steps: dict[str, Step] = {}
        # Only nodes that exist have a document to compare with: planning a new node writes no key.
        known = [node for node in engine.nodes if observed[node.name].state != "absent"]
        lost = engine.keys.lost([node.name for node in known])  # before a document is made, with a new key in it
        comparable = [node for node in known if node.name not in {*engine.deployment.unreadable, *lost}]
        digests = engine.documents.digests(comparable)
        lapsed = engine.keys.lapsed(node.name for node in comparable)
        for node in engine.nodes:
            seen = observed[node.name]
            digest = digests.get(node.name, seen.document or "")
            steps[node.name] = plan_node(
                node,
                desired.image(node),
                digest,
                seen,
                asked=node.name in self.wish.replace,
                lost=lost.get(node.name),
                lapsed=node.name in lapsed,
            )
        if self._retires():
            members = {node.name for node in engine.deployment.nodes}
            for name, seen in sorted(observed.items()):
                if name not in members and seen.state != "absent":
                    why = "not part of the deployment any more; its data stay"
                    steps[name] = Step("retire", "", None, seen.identity, [why])
        return steps

    def _retires(self) -> bool:
        """Without its composition, nobody knows who is no part of the deployment any more."""
        return self.wish.retire and not self.engine.deployment.broken

    def _gone(self, observed: t.Mapping[str, Seen]) -> list[str]:
        """Nodes that were retired by a run that could not write it down any more."""
        there = {name for name, seen in observed.items() if seen.state != "absent"}
        there.update(node.name for node in self.engine.deployment.nodes)
        return [name for name in self.engine.addresses.names() if name not in there]

    def _waves(
        self, steps: t.Mapping[str, Step], observed: t.Mapping[str, Seen], out: t.Container[str]
    ) -> list[list[str]]:
        """Names of the nodes to be switched, as they go down together.

        :param out: nodes that are out of service: nobody misses them any more.
        """
        batch = [node.name for node in self.engine.nodes]
        switched = [name for name in batch if steps[name].action in SWITCHED]
        running = [name for name in switched if observed[name].state == "running" and name not in out]
        idle = [name for name in switched if name not in running]
        return Waves(self.engine.deployment.at_most).cut(idle, running, out_of_service(observed, batch))

    def _is_settled(self, observed: t.Mapping[str, Seen]) -> bool:
        """Whether there is nothing to mark as verified and nothing to clean up: what a killed or failed run leaves."""
        engine = self.engine
        return (
            all(observed[node.name].verified == observed[node.name].identity for node in engine.nodes)
            and not any(seen.leftovers for seen in observed.values())
            and engine.releases.is_tidy(engine.deployment.keep, engine.used(observed))
        )
