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
from .waves import Waves, out_of_service, without

#: Checks that nodes run these images and are up: those that do not, by name.
Check = t.Callable[[t.Mapping[str, str], str], t.Mapping[str, NodeResult]]
#: The same, of what boots without what it follows; only with words.
Follow = t.Callable[[t.Mapping[str, str]], t.Mapping[str, str]]


class Rollout:
    """One batch of a deployment, on its platform.

    :param check: takes node → identity, and a name for the results.
    :param follow: takes node → identity of nodes that boot, and brings their directories to what is pushed to them.
    """

    def __init__(
        self, deployment: Deployment, platform: Platform, progress: Progress, check: Check, follow: Follow
    ) -> None:
        self.deployment = deployment
        self.platform = platform
        self.progress = progress
        self.check = check
        self.follow = follow

    def switch(self, waves: t.Sequence[t.Sequence[Target]]) -> dict[str, NodeResult]:
        """Boot the targets. Each wave but the last is checked; after one that fails, the others are left alone."""
        outcomes: dict[str, NodeResult] = {}
        tell = self._teller("switch", "started", sum(map(len, waves)))
        for number, wave in enumerate(waves, 1):
            self._announce("switch", number, len(waves), [target.node.name for target in wave])
            last = number == len(waves)
            outcomes.update(self._rounds(wave, tell, checked=not last))
            failed = [target.node.name for target in wave if not outcomes[target.node.name].ok]
            if failed and not last and not self._holds(outcomes):
                left = [target.node.name for later in waves[number:] for target in later]
                self.progress.say(f"switch: {failed[0]} failed: left as they were: {listed(left)}")
                message = f"left as it was: {failed[0]} failed before its turn"
                outcomes.update((name, NodeResult(ok=False, message=message)) for name in left)
                break
        return outcomes

    def _rounds(self, wave: t.Sequence[Target], tell: Tell, *, checked: bool) -> dict[str, NodeResult]:
        """Switch and check; what does not come up is booted again, alone, as often as the deployment says.

        :param checked: check also if nothing is booted again: others wait for it.
        """
        outcomes: dict[str, NodeResult] = {}
        retries = self.deployment.retries
        for turn in range(retries + 1):
            outcomes.update(self.platform.switch(wave, tell))
            started = {target.node.name: target.image.identity for target in wave if outcomes[target.node.name].ok}
            for name, message in self.follow(started).items():
                outcomes[name] = replace(outcomes[name], ok=False, message=message)
                del started[name]
            if (checked or retries) and started:
                for name, found in self.check(started, "switch").items():
                    outcomes[name] = replace(outcomes[name], ok=False, message=found.message, evidence=found.evidence)
            failed = [target for target in wave if not outcomes[target.node.name].ok]
            if not failed or turn == retries:
                break
            names = listed([target.node.name for target in failed])
            self.progress.say(f"switch: round {turn + 2} of {retries + 1}: booting again: {names}")
            wave = [replace(target, fresh=True) for target in failed]
            tell = self._teller("switch", "started", len(wave))
        return outcomes

    def _holds(self, outcomes: t.Mapping[str, NodeResult]) -> bool:
        """Whether the deployment may do without the nodes that have failed so far."""
        failed = [name for name, outcome in outcomes.items() if not outcome.ok]
        return not short_of_quorum(self.deployment, failed)

    def revert(self, names: t.Sequence[str]) -> tuple[dict[str, NodeResult], dict[str, str]]:
        """Boot last verified images, each wave checked before the next; nodes that are down already come first.

        :param names: the batch; of those that run, the first come first.
        :returns: outcomes, and the identity that each reverted node is back on.
        """
        observed = self.platform.observe([self.deployment.node(name) for name in names])
        # A node that never worked is stopped, and missed by nobody.
        served = {name for name in names if observed[name].verified is not None}
        down = out_of_service(observed, names)
        idle = [name for name in names if name not in served or observed[name].state != "running"]
        running = without(names, idle)
        kept = [name for name in running if _runs_verified(observed[name])]
        waiting = without(running, kept)
        waves = Waves(self.deployment.at_most)
        wave = [*idle, *waves.next(waiting, {*down, *served.intersection(idle)})]
        outcomes: dict[str, NodeResult] = {}
        back: dict[str, str] = {}
        number = 0
        while wave or kept:
            number += 1
            waiting = without(waiting, wave)
            if waiting or number > 1:
                self._announce("revert", number, None, wave)
            tell = self._teller("revert", "done", len(names), len(outcomes))
            # For those that are kept there is nothing to be done, as the platform is going to find.
            outcomes.update(self.platform.revert([self.deployment.node(name) for name in (*wave, *kept)], tell))
            kept = []
            booted = {
                name: t.cast(str, observed[name].verified)
                for name in wave
                if name in served and outcomes[name].ok and outcomes[name].changed
            }
            wrong = dict(self.follow(booted))
            whole = {name: identity for name, identity in booted.items() if name not in wrong}
            if whole:
                found = self.check(whole, "revert" if number == 1 else f"revert-{number}")
                wrong |= {name: result.message for name, result in found.items()}
            wrong |= self.platform.confirm([self.deployment.node(name) for name in booted if name not in wrong])
            for name, message in wrong.items():
                outcomes[name] = replace(outcomes[name], ok=False, message=f"reverted, but: {message}")
            back.update(booted)
            down |= {name for name in wave if name in served and not outcomes[name].ok}
            wave = waves.next(waiting, down)
        for name in waiting:
            outcomes[name] = NodeResult(ok=False, message=f"not reverted: {waves.blocked(name, down)}")
        return outcomes, back

    def _announce(self, step: str, number: int, total: int | None, names: t.Sequence[str]) -> None:
        if total != 1:
            self.progress.say(f"{step}: wave {number}{f' of {total}' if total else ''}: {listed(names)}")

    def _teller(self, step: str, well: str, total: int, done: int = 0) -> Tell:
        return Tally(self.progress, step, well, total, done)


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


def _runs_verified(seen: Seen) -> bool:
    return seen.state == "running" and seen.identity == seen.verified and not seen.leftovers
