# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run's change of one deployment: plan, build, stage, switch, verify, settle. PRIVATE to the collection.

Each step is a task of its own and may be repeated after a run was killed in the middle of it; what the steps hand to
each other lies in the journal. Knows no platform and no builder, only their interfaces.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ..errors import ComposeError
from ..images.packages import versions
from ..model.boot import Target
from ..model.deployment import Node
from ..model.follow import pushed
from ..model.journal import Journal, Verified
from ..model.plan import SWITCHED, Plan
from ..model.result import Problem
from ..model.step import Built, Checked, Fared, Planned, Settled, StepResult
from ..platforms.problems import refuse
from .engine import Engine, bundles
from .healing import Healing
from .journal import JournalFile
from .numbers import moved, tell
from .plan import render
from .planning import Planning, Wish
from .results import any_changed, brief, failed
from .rollout import short_of_quorum
from .rotation import prove
from .service import Paused, Service
from .settlement import Settlement, require


class Transaction:
    """The steps of one run, for the length of one step."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.journal = JournalFile(engine.state)
        self.progress = engine.progress

    def plan(self, wish: Wish, *, hold: bool, predict: bool = False) -> Planned:
        """What has to happen, without doing it.

        :param hold: the steps that follow do it.
        :param predict: say ``changed`` if anything has to happen: Ansible shows a diff only then.
        """
        return Planning(self.engine, wish, hold=hold).planned(predict=predict)

    # -- build and stage -----------------------------------------------------------------------------------------

    def build(self, *, reproducible: bool = False) -> Built:
        """Build the images that the plan needs; those of a kept release exist already.

        :param reproducible: build each of them a second time; one that differs is an error.
        """
        engine, journal = self.engine, self.journal.read()
        plan = journal.plan
        roles = sorted({plan.steps[name].role for name in plan.names(*SWITCHED)})
        if journal.problem or plan.release is not None or not roles:
            return Built(False, [], {})
        unknown = {name: each for name, each in plan.steps.items() if not engine.releases.has_image(each.image or "")}
        engine.builder.evaluated.update(journal.evaluated)
        before = engine.builder.is_built(*engine.desired.what(roles))
        images = engine.builder.build(*engine.desired.what(roles), engine.releases.roots)
        for role, image in images.items():
            if image.identity != plan.composition.images[role]:
                raise ComposeError(
                    f"role {role!r}: built {image.identity}, planned {plan.composition.images[role]}: "
                    "the composition changed meanwhile; run again"
                )
        built = [role for role in roles if not before[role]]
        tell(engine.builder, moved(engine.releases, unknown, {}), "build", self.progress)
        if reproducible:
            engine.require_reproducible(engine.desired.what(roles))
        # Some builders tell only now what is inside; the plan has shown the rest.
        now = {role: versions(image.packages) for role, image in images.items() if not plan.packages.get(role)}
        changes = engine.desired.package_changes(plan.steps.values(), now)
        return Built(bool(built), built, bundles(images), changes, render({}, changes))

    def stage(self) -> StepResult:
        """Have machines for the nodes to be switched, and bring there what they are going to boot."""
        journal = self.journal.read()
        targets = [] if journal.problem else self._targets(journal.plan)
        if not targets:
            return StepResult(False)
        self._require_followed(journal.plan, [target.node for target in targets])
        acquired = self.engine.platform.acquire()
        staged = self.engine.platform.stage(targets)
        for target in targets:
            self.progress.became(target.node.name, "staged")
        return StepResult(staged or acquired)

    def _require_followed(self, plan: Plan, nodes: t.Sequence[Node]) -> None:
        """:raises ComposeError: what is to be pushed to nodes cannot be had, so that they would boot without it."""
        engine = self.engine
        rules = {node.name: engine.rules(node.role, plan.image(node.name), plan.composition) for node in nodes}
        follows = {name: each for name, rule in rules.items() if (each := pushed(rule.follow))}
        if follows:
            with engine.followers(0) as followers:
                problems = followers.fetch(follows)
            refuse([Problem(message, node=name, step="stage") for name, message in problems.items()])

    def _targets(self, plan: Plan) -> list[Target]:
        """The nodes that the plan switches, with image and document."""
        engine = self.engine
        nodes = [engine.deployment.node(name) for name in plan.names(*SWITCHED)]
        images = {identity: engine.releases.image(identity) for identity in {plan.image(node.name) for node in nodes}}
        targets = engine.documents.targets(nodes, {node.name: images[plan.image(node.name)] for node in nodes})
        return [replace(target, fresh=plan.steps[target.node.name].fresh) for target in targets]

    # -- switch --------------------------------------------------------------------------------------------------

    def switch(self) -> Fared:
        """Boot the planned images; tell running nodes their new peers."""
        engine, journal = self.engine, self.journal.read()
        plan = journal.plan
        if journal.problem:
            return Fared(False, {}, [])
        outcomes = dict(journal.switched or {})
        targets = {target.node.name: target for target in self._targets(plan)}
        due = [target for name, target in targets.items() if name not in outcomes]
        if due and journal.switched is None:
            # What is ill already must not be laid at the door of this run.
            journal = replace(journal, ill_before=self._ill(plan, plan.names("keep", "refresh")))
        # From now on nodes may not be as they were: the run goes back, should this be the last that is heard of it.
        self.journal.write(replace(journal, switched=outcomes))
        engine.write_access()
        self._make_room(plan, [target.node for target in due])
        engine.addresses.start(target.node for target in due)
        service = self._service(journal)
        stay = [name for name in plan.names("keep", "refresh") if name not in journal.ill_before]
        try:
            waves = [[targets[name] for name in wave] for wave in plan.waves]
            engine.rollout(plan.composition, service).switch(waves, outcomes, stay)
        except Paused as paused:
            self._pause(replace(journal, switched=outcomes, hooks=service.log))
            return Fared(any_changed(outcomes), brief(outcomes), failed(outcomes), ask=paused.ask)
        told = [name for name in plan.names("refresh") if name not in outcomes]
        if engine.follow_machines():
            told += plan.names("keep")
            told += [name for name, outcome in outcomes.items() if outcome.ok and name not in told]
            engine.addresses.start(engine.nodes)
        refreshed = engine.documents.refresh([engine.deployment.node(name) for name in told])
        outcomes.update({name: refreshed[name] for name in told if name not in outcomes or not refreshed[name].ok})
        engine.write_access()  # some platforms know an address only now
        self.journal.write(replace(journal, switched=outcomes, hooks=service.log))
        return Fared(any_changed(outcomes), brief(outcomes), failed(outcomes), render(plan.steps, {}))

    def _service(self, journal: Journal) -> Service:
        return Service(self.engine.state, self.engine.deployment.hooks, journal.hooks)

    def _pause(self, journal: Journal) -> None:
        """The step is called again when a hook has run."""
        self.engine.paused = True
        self.journal.write(journal)

    def _make_room(self, plan: Plan, nodes: t.Sequence[Node]) -> None:
        """Remove what is to be retired and has an address that is used again: it goes before that."""
        engine = self.engine
        holders = set(engine.addresses.holders(nodes).values())
        early = sorted(holders.intersection(plan.names("retire")))
        if early:
            require(engine.platform.remove(early, data=False, tell=engine.teller("retire", early)))
            engine.addresses.forget(early)

    def _ill(self, plan: Plan, names: t.Sequence[str]) -> dict[str, str]:
        """Nodes that are not well, though nothing was done to them, and what is wrong."""
        if not names:
            return {}
        running = {name: t.cast(str, plan.steps[name].running) for name in names}
        return self.engine.ill(running, plan.composition)

    # -- verify --------------------------------------------------------------------------------------------------

    def verify(self) -> Checked:
        """Identity, units, ports of the batch, then the test script. What is ill without our doing boots once more."""
        engine, journal = self.engine, self.journal.read()
        plan = journal.plan
        if journal.problem:
            return Checked(False, {}, [])
        skip = [name for name, result in (journal.switched or {}).items() if not result.ok]
        names = [name for name in plan.batch if name not in skip]
        # What is ill already does not keep the others from being tested.
        lost = [name for name in skip if name not in journal.ill_before]
        script = "" if short_of_quorum(engine.deployment, lost) else plan.composition.test_script
        service = self._service(journal)
        healing = Healing(engine, journal, service)
        ill = journal.healing
        if not ill:
            verified = self._check(journal, names, script)
            ill = healing.due(verified)
            if ill:
                self.progress.say(
                    f"verify: booting again, because they run what they should and are not well: {', '.join(ill)}"
                )
        if ill:
            try:
                healing.boot(ill)
            except Paused as paused:
                self._pause(replace(journal, healing=ill, healed=healing.healed, hooks=service.log))
                return Checked(False, {}, [], ask=paused.ask)
            verified = healing.words(self._check(journal, names, script))
        self.journal.write(replace(journal, verified=verified, hooks=service.log))
        if verified.script_node is not None:
            self.progress.became(verified.script_node, "failed", verified.script)
        nodes = verified.nodes
        return Checked(any_changed(nodes), brief(nodes), failed(nodes), verified.checks, verified.script)

    def _check(self, journal: Journal, names: t.Sequence[str], script: str) -> Verified:
        plan = journal.plan
        meant = {name: plan.image(name) for name in names}
        return prove(self.engine, self.engine.check(meant, plan.composition, script, "verify", journal.ill_before))

    # -- settle --------------------------------------------------------------------------------------------------

    def settle(self, *, keep_failed: bool = False) -> Settled:
        """The end of the run: what was verified is released, or what was switched goes back.

        :param keep_failed: leave what failed as it is, to be looked at.
        """
        journal = self.journal.read()
        service = self._service(journal)
        settlement = Settlement(self.engine, journal, service, keep_failed)
        try:
            result = settlement.result()
        except Paused as paused:
            self._pause(replace(settlement.journal, hooks=service.log))
            nodes = settlement.so_far()
            return Settled(any_changed(nodes), nodes, failed(nodes), release=None, summary=[], ask=paused.ask)
        self.journal.drop()
        return replace(result, ask=service.end([name for name, node in result.nodes.items() if node.changed]))

    def hooked(self, answers: t.Mapping[str, str]) -> None:
        """The hook has run that a step has asked for. :param answers: node → why it failed; empty if it did not."""
        journal = self.journal.read()
        service = self._service(journal)
        service.answer(answers)
        self.journal.write(replace(journal, hooks=service.log))

    def give_up(self, problem: str) -> None:
        """An earlier step came to nothing, in whatever way: the run settles for that."""
        self.journal.write(replace(self.journal.read(), problem=problem))
