# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Switching and reverting wave by wave: the next goes down when the one before is up. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ..model.boot import Seen, Target
from ..model.deployment import Deployment
from ..model.result import NodeResult
from ..platforms.base import Platform, Tell
from ..progress import Progress, listed
from .results import Tally
from .service import Service
from .waves import Waves, out_of_service, without

#: Checks that nodes run these images and are up: those that do not, by name.
Check = t.Callable[[t.Mapping[str, str], str], t.Mapping[str, NodeResult]]
#: The same, of what boots without what it follows; only with words.
Follow = t.Callable[[t.Mapping[str, str]], t.Mapping[str, str]]


class Rollout:
    """One batch of a deployment, on its platform.

    :param check: takes node → identity, and what the results are called.
    :param follow: takes node → identity of nodes that boot, and brings their directories to what is pushed to them.
    :param service: which nodes are out of service. Where one of its hooks has to run first, what is called here ends
        with :class:`.service.Paused`, and goes on when it is called with the outcomes up to then.
    """

    def __init__(
        self,
        deployment: Deployment,
        platform: Platform,
        progress: Progress,
        check: Check,
        follow: Follow,
        service: Service,
    ) -> None:
        self.deployment = deployment
        self.platform = platform
        self.progress = progress
        self.check = check
        self.follow = follow
        self.service = service

    def switch(
        self, waves: t.Sequence[t.Sequence[Target]], outcomes: dict[str, NodeResult], stay: t.Sequence[str] = ()
    ) -> None:
        """Boot the targets. Each wave but the last is checked; after one that fails, the others are left alone.

        :param outcomes: of those that were switched already; the others' are added.
        :param stay: other nodes, which are well: what an earlier run left out of service is put into it first.
        """
        refused = self.service.undrain(stay)
        outcomes.update((name, NodeResult(ok=False, message=why)) for name, why in refused.items())
        if self._leave(waves, outcomes, refused):
            return
        running = self._running([target.node.name for wave in waves for target in wave])
        tell = self._teller("switch", "started", sum(map(len, waves)), len(outcomes))
        for number, wave in enumerate(waves, 1):
            last = number == len(waves)
            names = [target.node.name for target in wave]
            waiting = without(names, outcomes)
            refused = self.service.drain([name for name in waiting if name in running])
            outcomes.update((name, NodeResult(ok=False, message=why)) for name, why in refused.items())
            due = [target for target in wave if target.node.name not in outcomes]
            if due and (not refused or self._holds(outcomes)):
                self._announce("switch", number, len(waves), [target.node.name for target in due])
                self.service.leaves([target.node.name for target in due])
                outcomes.update(self._rounds(due, tell, checked=not last))
            if not last:
                for name, why in self.service.undrain([name for name in names if _is_well(outcomes, name)]).items():
                    outcomes[name] = replace(outcomes[name], ok=False, message=why)
            if self._leave(waves, outcomes, [name for name in names if name in outcomes and not outcomes[name].ok]):
                break

    def _leave(
        self, waves: t.Sequence[t.Sequence[Target]], outcomes: dict[str, NodeResult], failed: t.Collection[str]
    ) -> bool:
        """Whether the others are left alone, because of those that have failed."""
        left = [target.node.name for wave in waves for target in wave if target.node.name not in outcomes]
        if not failed or not left or self._holds(outcomes):
            return False
        first = next(iter(failed))
        self.progress.say(f"switch: {first} failed: left as they were: {listed(left)}")
        message = f"left as it was: {first} failed before its turn"
        outcomes.update((name, NodeResult(ok=False, message=message)) for name in left)
        return True

    def _running(self, names: t.Sequence[str]) -> set[str]:
        """Those that run now, if that matters: only they can be taken out of service."""
        if not self.deployment.hooks.drain:
            return set()
        observed = self.platform.observe([self.deployment.node(name) for name in names])
        return {name for name in names if observed[name].state == "running"}

    def _rounds(self, wave: t.Sequence[Target], tell: Tell, *, checked: bool) -> dict[str, NodeResult]:
        """Switch and check; what does not come up is booted again, alone, as often as the deployment says.

        :param checked: check also if nothing is booted again: others wait for it.
        """
        outcomes: dict[str, NodeResult] = {}
        retries = self.deployment.retries
        for turn in range(retries + 1):
            for target in wave:
                self.progress.became(target.node.name, "down")
            outcomes.update(self.platform.switch(wave, tell))
            started = {target.node.name: target.image.identity for target in wave if outcomes[target.node.name].ok}
            for name, message in self.follow(started).items():
                outcomes[name] = replace(outcomes[name], ok=False, message=message)
                del started[name]
            if (checked or retries) and started:
                for name, found in self.check(started, "switch").items():
                    outcomes[name] = replace(outcomes[name], ok=False, message=found.message, evidence=found.evidence)
            failed = [target for target in wave if not outcomes[target.node.name].ok]
            for target in failed:
                self.progress.became(target.node.name, "failed", outcomes[target.node.name].message)
            if not failed or turn == retries:
                break
            names = listed([target.node.name for target in failed])
            self.progress.say(f"switch: round {turn + 2} of {retries + 1}: booting again: {names}", "round")
            wave = [replace(target, fresh=True) for target in failed]
            tell = self._teller("switch", "started", len(wave))
        return outcomes

    def _holds(self, outcomes: t.Mapping[str, NodeResult]) -> bool:
        """Whether the deployment may do without the nodes that have failed so far."""
        failed = [name for name, outcome in outcomes.items() if not outcome.ok]
        return not short_of_quorum(self.deployment, failed)

    def revert(self, names: t.Sequence[str], outcomes: dict[str, NodeResult]) -> None:
        """Boot last verified images, each wave checked before the next; nodes that are down already come first.

        :param names: the batch; of those that run, the first come first.
        :param outcomes: of those that were reverted already; the others' are added, with the identity that each is
            back on.
        """
        observed = self.platform.observe([self.deployment.node(name) for name in names])
        # A node that never worked is stopped, and missed by nobody.
        served = {name for name in names if observed[name].verified is not None}
        left = without(names, outcomes)
        idle = [
            name
            for name in left
            if name not in served or observed[name].state != "running" or self.service.is_drained(name)
        ]
        kept = [name for name in left if _runs_verified(observed[name])]
        idle = without(idle, kept)
        waiting = without(left, [*idle, *kept])
        # Before others leave it for being reverted, those that need not be are in service again.
        for name, why in self.service.undrain(kept).items():
            outcomes[name] = NodeResult(ok=False, message=why)
        kept = without(kept, outcomes)
        waves = Waves(self.deployment.at_most)
        number = 0
        while True:
            self._into_service([name for name in names if name in served], outcomes)
            down = out_of_service(observed, names)
            down |= {name for name in outcomes if name in served and not outcomes[name].ok}
            wave = [*idle, *waves.next(waiting, {*down, *served.intersection(idle)})]
            if not (wave or kept):
                break
            number += 1
            refused = self.service.drain(without(wave, idle))
            outcomes.update((name, NodeResult(ok=False, message=why)) for name, why in refused.items())
            waiting = without(waiting, wave)
            wave = without(wave, refused)
            self.service.leaves([name for name in wave if name in served])
            if waiting or number > 1:
                self._announce("revert", number, None, wave)
            tell = Tally(self.progress, "revert", "done", len(names), len(outcomes))
            for name in wave:
                self.progress.became(name, "down")
            outcomes.update(self.platform.revert([self.deployment.node(name) for name in (*wave, *kept)], tell))
            self._see(wave, observed, outcomes)
            for name in wave:
                if not outcomes[name].ok:
                    self.progress.became(name, "failed", outcomes[name].message)
                elif outcomes[name].back_on:
                    self.progress.became(name, "back")
            idle = kept = []
        for name in waiting:
            outcomes[name] = NodeResult(ok=False, message=f"not reverted: {waves.blocked(name, down)}")

    def _see(
        self,
        wave: t.Sequence[str],
        observed: t.Mapping[str, Seen],
        outcomes: dict[str, NodeResult],
    ) -> None:
        """That nodes which were reverted are well.

        :param observed: what was seen of them before.
        """
        booted = {
            name: t.cast(str, observed[name].verified)
            for name in wave
            if observed[name].verified is not None and outcomes[name].ok and outcomes[name].changed
        }
        wrong = dict(self.follow(booted))
        whole = {name: identity for name, identity in booted.items() if name not in wrong}
        if whole:
            wrong |= {name: result.message for name, result in self.check(whole, "revert").items()}
        wrong |= self.platform.confirm([self.deployment.node(name) for name in booted if name not in wrong])
        for name, identity in booted.items():
            outcomes[name] = replace(outcomes[name], back_on=identity)
        for name, message in wrong.items():
            outcomes[name] = replace(outcomes[name], ok=False, message=f"reverted, but: {message}")

    def _into_service(self, names: t.Sequence[str], outcomes: dict[str, NodeResult]) -> None:
        """Nodes that are back are put into service before others go down for it."""
        booted = [name for name in names if _is_well(outcomes, name) and outcomes[name].back_on]
        wrong = self.service.back(booted)
        wrong |= self.service.undrain([name for name in names if _is_well(outcomes, name) and name not in wrong])
        for name, message in wrong.items():
            outcomes[name] = replace(outcomes[name], ok=False, message=f"reverted, but: {message}")

    def _announce(self, step: str, number: int, total: int | None, names: t.Sequence[str]) -> None:
        if total != 1:
            self.progress.say(f"{step}: wave {number}{f' of {total}' if total else ''}: {listed(names)}", "wave")

    def _teller(self, step: str, well: str, total: int, done: int = 0) -> Tell:
        tally = Tally(self.progress, step, well, total, done)

        def tell(name: str, outcome: NodeResult) -> None:
            if outcome.ok:
                self.progress.became(name, "booting")
            tally(name, outcome)

        return tell


def short_of_quorum(deployment: Deployment, failed: t.Collection[str]) -> list[str]:
    """Those failed nodes without which the deployment does not hold."""
    members: dict[str, list[str]] = {}
    for node in deployment.nodes:
        members.setdefault(node.role, []).append(node.name)
    short = []
    for role, names in members.items():
        lost = [name for name in names if name in failed]
        if len(names) - len(lost) < deployment.at_least.get(role, len(names)):
            short += lost
    return short


def _is_well(outcomes: t.Mapping[str, NodeResult], name: str) -> bool:
    return name in outcomes and outcomes[name].ok


def _runs_verified(seen: Seen) -> bool:
    return seen.state == "running" and seen.identity == seen.verified and not seen.leftovers
