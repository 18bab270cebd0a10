# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run's change of one deployment: plan, build, stage, switch, verify, settle. PRIVATE to the collection.

Each step is a task of its own and may be repeated after a run was killed in the middle of it; what the steps hand to
each other lies in the journal. Knows no platform and no builder, only their interfaces.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ..errors import ComposeError, InputError, nearest
from ..images.packages import versions
from ..model.boot import Seen, Target
from ..model.deployment import Node
from ..model.follow import pushed
from ..model.journal import Journal, Verified
from ..model.plan import SWITCHED, Plan
from ..model.release import Release
from ..model.result import Problem
from ..model.step import Built, Checked, Fared, NodePlan, Planned, Settled, StepResult
from ..platforms.problems import noting, refuse
from .desired import Meant
from .engine import Engine, bundles
from .guests import end_guests
from .healing import Healing
from .journal import JournalFile
from .numbers import moved, tell
from .plan import Step, hooks_of, plan_node, render, staying, told
from .results import any_changed, brief, failed
from .rollback import kept_release
from .rollout import short_of_quorum
from .rotation import prove
from .service import Paused, Service
from .settlement import Settlement, require
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


class Transaction:
    """The steps of one run, for the length of one step."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.journal = JournalFile(engine.state)
        self.progress = engine.progress

    # -- plan ----------------------------------------------------------------------------------------------------

    def plan(self, wish: Wish, *, hold: bool, predict: bool = False) -> Planned:
        """What has to happen, without doing it.

        :param hold: the steps that follow do it.
        :param predict: say ``changed`` if anything has to happen: Ansible shows a diff only then.
        """
        engine, platform = self.engine, self.engine.platform
        self._refuse_strangers(wish.replace)
        engine.releases.current()  # one that is damaged is refused before anything is touched
        problems: list[Problem] = []
        for node in engine.nodes:
            if hold:
                with noting(problems, node.name):
                    engine.documents.require_secrets(node)
            elif node.name in engine.deployment.unreadable:
                why = engine.deployment.unreadable[node.name]
                self.progress.say(f"plan {node.name}: its document is not compared: {why}")
        roles = sorted({node.role for node in engine.nodes})
        desired = None if wish.release is not None else engine.desired.composed(roles)
        if desired is not None:
            problems += desired.lacking(
                [node for node in engine.nodes if node.name not in engine.deployment.unreadable]
            )
            problems += platform.check_volumes(engine.nodes, desired.volumes)
        refuse([*problems, *platform.check(engine.nodes)])
        with engine.claim:
            return self._plan(wish, desired, roles, hold=hold, predict=predict)

    def _plan(self, wish: Wish, desired: Meant | None, roles: t.Sequence[str], *, hold: bool, predict: bool) -> Planned:
        """The plan of what is not refused, while nobody else changes anything."""
        engine = self.engine
        observed = engine.platform.observe(engine.nodes)
        kept = None if wish.release is None else kept_release(engine, self.journal, wish.release, observed)
        if desired is None:
            desired = engine.desired.released(t.cast(Release, kept), roles)
        steps = self._steps(desired, observed, wish)
        ending = [name for name, step in steps.items() if step.action in (*SWITCHED, "retire")]
        ends = end_guests(engine.state, ending, observed, engine.carried)
        service = Service(engine.state, engine.deployment.hooks)
        waves = self._waves(steps, observed, service.out)
        if hold and self._retires(wish):
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
        if hold:
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

    def _steps(self, desired: Meant, observed: t.Mapping[str, Seen], wish: Wish) -> dict[str, Step]:
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
                asked=node.name in wish.replace,
                lost=lost.get(node.name),
                lapsed=node.name in lapsed,
            )
        if self._retires(wish):
            members = {node.name for node in engine.deployment.nodes}
            for name, seen in sorted(observed.items()):
                if name not in members and seen.state != "absent":
                    why = "not part of the deployment any more; its data stay"
                    steps[name] = Step("retire", "", None, seen.identity, [why])
        return steps

    def _retires(self, wish: Wish) -> bool:
        """Without its composition, nobody knows who is no part of the deployment any more."""
        return wish.retire and not self.engine.deployment.broken

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
