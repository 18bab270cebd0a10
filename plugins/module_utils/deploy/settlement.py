# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a run: release what was verified, or go back. PRIVATE to the collection.

Who is to blame decides. A node that this run changed and that is not well takes the run back, and so does one that was
well before. What was ill before, and was left as it is, fails alone.
"""

from __future__ import annotations

import time
import typing as t
from dataclasses import replace

from ..errors import ComposeError
from ..model.boot import Seen
from ..model.journal import Journal
from ..model.release import Located, Release
from ..model.result import Evidence, NodeResult
from ..model.step import Settled
from ..progress import listed
from .engine import Engine
from .plan import SHOWN
from .results import any_changed, failed, own_words
from .rollout import short_of_quorum
from .rotation import finish
from .service import Service


class Settlement:
    """What becomes of one run.

    Where one of the user's hooks has to run first, it ends with :class:`.service.Paused`, and goes on from what
    :attr:`journal` has then.
    """

    def __init__(self, engine: Engine, journal: Journal, service: Service, keep_failed: bool) -> None:
        self.engine = engine
        self.journal = journal
        self.service = service
        self.plan = journal.plan
        self.keep_failed = keep_failed
        self.failures = self._failures() if journal.failures is None else journal.failures

    def result(self) -> Settled:
        """What the module returns: the last word on every node of the batch."""
        result = self._result()
        if self.failures and not self.keep_failed and self.engine.platform.run_failed():
            return replace(result, changed=True)
        return result

    def _result(self) -> Settled:
        if self.journal.failures is None:
            self._into_service()
            self.journal = replace(self.journal, failures=self.failures)
        veto = self._veto()
        if veto:
            return self._kept(veto) if self.keep_failed else self._back(veto)
        if self.journal.verified is None:
            return self._unreleased(self._results({}), left=self.journal.switched is None)
        return self._released(self.journal.verified.checks)

    def so_far(self) -> dict[str, NodeResult]:
        """What there is to say of each node before the end."""
        return self._results(self.journal.reverted)

    def _into_service(self) -> None:
        """What is well is put into service, also what an earlier run has left out of it."""
        if self._veto() or self.journal.verified is None:
            return
        self.failures.update(self.service.undrain([name for name in self.plan.batch if name not in self.failures]))

    # -- the verdict ---------------------------------------------------------------------------------------------

    def _failures(self) -> dict[str, str]:
        """Node → what is wrong with it after this run."""
        switched = {
            name: f"switch: {own_words(name, result)}"
            for name, result in (self.journal.switched or {}).items()
            if not result.ok
        }
        verified = self.journal.verified.failures() if self.journal.verified else {}
        found = {**{name: f"verify: {message}" for name, message in verified.items()}, **switched}
        common = self.journal.problem or ("" if found or self.plan.unproven else self._script())
        return {name: found.get(name) or common for name in self.plan.batch if name in found or common}

    def _evidence(self, name: str) -> Evidence:
        """What a node said of itself when it failed its checks, the last time that it was asked."""
        verified = self.journal.verified.nodes if self.journal.verified else {}
        return {**(self.journal.switched or {}), **verified}.get(name, NodeResult()).evidence

    def _unsealed(self, name: str) -> t.Sequence[str]:
        """Why a node was changed though it is sealed, as it said the last time that it was asked."""
        verified = self.journal.verified.nodes if self.journal.verified else {}
        return verified.get(name, NodeResult()).unsealed

    def _script(self) -> str:
        verified = self.journal.verified
        return f"verify: {verified.script}" if verified and verified.script and verified.script_node is None else ""

    def _veto(self) -> str:
        """Why the run goes back; empty if it does not."""
        if self.journal.switched is None and self.journal.verified is None:
            return ""
        unproven = self.plan.unproven
        if not unproven:
            return ""
        if self.journal.problem:
            return self.journal.problem
        short = short_of_quorum(self.engine.deployment, self.failures)
        switched = set(self._switched())
        for name in short:
            if name in switched:
                return f"{name}: {self.failures[name]}"
        verified = self.journal.verified
        if verified is not None and verified.script and verified.script_node not in self.journal.ill_before:
            who = f"{verified.script_node}: " if verified.script_node else ""
            return f"{who}verify: {verified.script}"
        for name in short:
            if name not in self.journal.ill_before:
                return f"{name}: {self.failures[name]}"
        return ""

    def _switched(self) -> list[str]:
        """Nodes that run what was never verified, now or since an earlier run."""
        steps = self.plan.steps
        return [name for name in self.plan.unproven if steps[name].action != "refresh" or not steps[name].verified]

    def _results(self, outcomes: t.Mapping[str, NodeResult]) -> dict[str, NodeResult]:
        """The last word on each node of the batch, as far as nothing was taken back.

        :param outcomes: of nodes that are no hosts.
        """
        healed = self.journal.verified.healed if self.journal.verified else []
        checked = self.journal.verified.nodes if self.journal.verified else {}
        switched = self.journal.switched or {}
        results = {}
        for name in self.plan.batch:
            message = self.failures.get(name, "was not well: booted again" if name in healed else "")
            changed = name in healed or (name in switched and switched[name].changed)
            follow = checked[name].follow if name in checked else {}
            results[name] = NodeResult(
                name not in self.failures,
                changed,
                message,
                follow=follow,
                unsealed=self._unsealed(name),
                evidence=self._evidence(name),
            )
        results.update(outcomes)
        return results

    # -- what is verified is released ------------------------------------------------------------------------------

    def _released(self, checks: t.Mapping[str, int]) -> Settled:
        """From now on a run that fails goes back to this. Retire what has no place any more.

        After a settled plan the platform is asked nothing and told nothing. What a new release makes superfluous is
        found by the next plan, which is not settled then.
        """
        engine, plan, retired = self.engine, self.plan, self.plan.names("retire")
        # With a quorum, what failed goes back alone.
        lost = self._revert([name for name in self._switched() if name in self.failures], "it is not well")
        nodes = [node for node in engine.nodes if node.name not in self.failures]
        recorded, number = False, None
        if nodes:
            recorded, number = engine.releases.record(
                Release(
                    number=0,
                    deployment=engine.deployment.name,
                    composition=plan.composition.digest,
                    revision=plan.composition.revision,
                    images={node.role: plan.composition.images[node.role] for node in nodes},
                    nodes={node.name: node.role for node in nodes},
                    ports=plan.composition.ports,
                    may_fail=plan.composition.may_fail,
                    follow=plan.composition.follow,
                    test_script=plan.composition.test_script,
                    places={node.name: Located(node.index, node.address) for node in nodes},
                    composition_name=plan.composition.name,
                    created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                    checks=checks,
                    unsealed={node.name: why for node in nodes for why in [self._unsealed(node.name)] if why},
                    node_images={
                        node.name: plan.image(node.name)
                        for node in nodes
                        if plan.image(node.name) != plan.composition.images[node.role]
                    },
                ),
                members={node.name for node in engine.deployment.nodes},
            )
        # A run that is killed here is finished by the next: it sees nodes that are not marked, and the same release.
        removed: dict[str, NodeResult] = {}
        if not plan.settled and number is not None:
            engine.platform.commit(nodes, number)
            removed = engine.platform.remove(retired, data=False, tell=engine.teller("retire", retired))
            engine.prune()
            require(removed)
            engine.addresses.forget(retired)
            self.service.enters(retired)
        engine.addresses.commit(nodes)
        results = {**self._results(removed), **lost, **self._rotated(number)}
        marked = any(not plan.steps[node.name].verified for node in nodes)
        return Settled(
            any_changed(results) or recorded or marked,
            results,
            failed(results),
            release=number,
            summary=self._summary(number) if nodes else [],
            retired=retired,
        )

    def _rotated(self, number: int | None) -> dict[str, NodeResult]:
        """Nodes that could not be told that new keys, if there are any, have taken the place of the old ones."""
        engine = self.engine
        if engine.keys.new is None:
            return {}
        others = {node.name for node in engine.deployment.nodes}.difference(self.plan.batch)
        if number is None or others or self.failures:
            names = sorted(others.union(self.failures))
            engine.progress.say(f"settle: the old login key and CA stay until these take the new ones: {listed(names)}")
            return {}
        return finish(engine, number)

    def _unreleased(self, results: t.Mapping[str, NodeResult], veto: str = "", *, left: bool) -> Settled:
        """:param left: the deployment is left on the release that it had, and not on what was never released."""
        current = self.engine.releases.current() if left else None
        number = current.number if current else None
        return Settled(any_changed(results), results, failed(results), release=number, summary=[], veto=veto)

    def _summary(self, release: int | None) -> list[str]:
        """What runs now and how to get in, for people."""
        engine = self.engine
        more = len(engine.nodes) - SHOWN
        lines = [f"deployment {engine.deployment.name}, release {release}, on {engine.deployment.platform}:"]
        for node in engine.nodes[:SHOWN]:
            ill = " NOT WELL" if node.name in self.failures else ""
            lines.append(f"  {node.name} ({node.role}): {self.plan.image(node.name)}{ill}")
        broken = [(node.name, self._unsealed(node.name)) for node in engine.nodes]
        return [
            *lines,
            *([f"  and {more} more"] if more > 0 else []),
            *(f"unsealed:  {name}, until it boots again: {'; '.join(why)}" for name, why in broken if why),
            f"log in:    ssh -F {engine.keys.ssh_config_file} {engine.nodes[0].name}",
            "tear down: ansible-playbook -i INVENTORY immutable.compose.destroy",
        ]

    # -- what was switched goes back -------------------------------------------------------------------------------

    def _back(self, veto: str) -> Settled:
        """Every node that is not proven boots what was verified last; then see that it does."""
        engine, plan = self.engine, self.plan
        engine.progress.say(f"settle: going back, because {veto.splitlines()[0]}")
        switched = self._switched()
        taken = self._revert(switched, veto)
        if engine.keys.drop_new():
            engine.progress.say("settle: the old login key and CA stay, and the new ones are dropped")
        refreshed = engine.documents.take_back(
            [engine.deployment.node(name) for name in plan.names("refresh")], engine.releases.current()
        )
        results = {**self._results({}), **taken}
        for name, outcome in refreshed.items():
            if not outcome.ok and results[name].ok:
                message = f"settle: it could not be told its former peers: {outcome.message}"
                results[name] = NodeResult(False, True, message)
            elif not switched:
                results[name] = NodeResult(False, True, f"told its former peers again, because {veto}")
        engine.write_access()
        return self._unreleased(results, veto, left=True)

    def _revert(self, switched: t.Sequence[str], veto: str) -> dict[str, NodeResult]:
        """Boot on these nodes what was verified last. The word on each is about what it runs then."""
        if not switched:
            return {}
        engine = self.engine
        # What failed goes first; then what was switched last: it is the least certain to work.
        turn = {name: number for number, wave in enumerate(self.plan.waves, 1) for name in wave}
        names = sorted(switched, key=lambda name: (name not in self.failures, -turn.get(name, 0)))
        outcomes = self.journal.reverted
        engine.rollout(self.plan.composition, self.service).revert(names, outcomes)
        engine.addresses.revert(name for name in names if outcomes[name].ok)
        observed = engine.platform.observe([engine.deployment.node(name) for name in names])
        return {name: self._taken_back(name, outcomes[name], observed[name], veto) for name in names}

    def _taken_back(self, name: str, outcome: NodeResult, seen: Seen, veto: str) -> NodeResult:
        """The word on a node that was not proven, from what it runs now."""
        own = self.failures.get(name) or f"taken back, because {veto}"
        if not outcome.ok:
            now = f"NOT back: {own_words(name, outcome)}"
        elif seen.verified is None:  # some had a system before, which is no image
            now = f"{seen.state}: {outcome.message or 'there is no verified image to go back to'}"
        elif seen.state == "running":
            now = f"{'back on' if outcome.back_on else 'left on'} its last verified image {seen.identity}"
        else:
            now = f"{seen.state}, on its last verified image {seen.identity}"
        return NodeResult(False, True, f"{own}; {now}", back_on=outcome.back_on, evidence=self._evidence(name))

    def _kept(self, veto: str) -> Settled:
        """Nothing goes back, and nothing is released: people want to look at it."""
        access = self.engine.keys.ssh_config_file
        results = self._results({})
        for name in self.plan.unproven:
            own = self.failures.get(name) or f"not released, because {veto}"
            login = f"ssh -F {access} {name}"
            way = f"left as it is (compose_keep_failed). Log in: {login}; go back: immutable.compose.rollback"
            results[name] = replace(results[name], ok=False, message=f"{own}; {way}")
        return self._unreleased(results, veto, left=False)


def require(outcomes: t.Mapping[str, NodeResult]) -> None:
    """:raises ComposeError: nodes could not be removed; they are no hosts that could fail by themselves."""
    failed = [outcome.message for _name, outcome in sorted(outcomes.items()) if not outcome.ok]
    if failed:
        raise ComposeError("; ".join(failed))
