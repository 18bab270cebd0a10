# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platform ``kexec``: machines whose own Linux starts the node, from memory. PRIVATE to the collection.

No disk is written: a machine has forgotten its node with the next reboot, and runs its own Linux again. So the way to
another image, and the way back, lead through that; and a node that nobody confirms goes there alone (the first process
of :mod:`.scripts`). What runs is asked of the machine.
"""

from __future__ import annotations

import os
import socket
import time
import typing as t
from contextlib import suppress
from dataclasses import replace

from ...errors import ComposeError, InputError
from ...model.boot import Seen, Target
from ...model.deployment import Deployment, Node
from ...model.document import Interface
from ...model.result import NodeResult, Problem
from ...nodes.endpoint import Endpoint
from ...progress import Progress, listed
from ..base import Lost, Tell, distinct_images, per_node
from ..forgetful import ForgetfulPlatform
from ..ledger import Ledger
from ..problems import missing
from . import scripts
from .export import Export
from .faults import fault_of, misfit, shared, unusable
from .machines import PARALLEL, Machines
from .options import HOST_VARIABLES, OPTIONS
from .overlay import System
from .start import bring, drop, rehearse, start

#: Builders whose images look for their root file system on a disk only.
_NEED_A_DISK = ("guix", "nixos", "nxc")
#: Seconds between two questions whether a node that is waited for has gone back.
LOOK = 10.0


class Kexec(ForgetfulPlatform):
    """Nodes on machines that have a Linux of their own."""

    name = "kexec"
    formats: tuple[str, ...] = ("root", "kernel", "initrd")
    options = OPTIONS
    host_variables = HOST_VARIABLES
    own_addresses = True

    def __init__(self, deployment: Deployment, progress: Progress) -> None:
        super().__init__(deployment, progress)
        self._machines = Machines(deployment, progress)
        self._looked = 0.0
        self._nodes = {node.name: node for node in deployment.nodes}
        if any(self.option(node, "nfs") for node in deployment.nodes):
            self.formats = (*self.formats, "network")

    @classmethod
    def makes_machine(cls, node: Node, known: t.Collection[str]) -> bool:
        return False

    @classmethod
    def machines_of(cls, deployment: Deployment) -> dict[str, str]:
        named = {node.name: node.options.get("host") or node.address for node in deployment.nodes}
        return {name: str(host) for name, host in named.items() if host}

    # -- the root over NFS ---------------------------------------------------------------------------------------

    def _export(self, node: Node) -> Export | None:
        """What has its root file system, if that is a server."""
        nfs, directory = self.option(node, "nfs"), self.option(node, "nfs_dir")
        return Export(nfs, os.path.expanduser(directory), self.deployment.name) if nfs and directory else None

    def _exports(self) -> set[Export]:
        return {export for export in map(self._export, self.deployment.nodes) if export is not None}

    # -- before anything is touched ------------------------------------------------------------------------------

    def check(self, nodes: t.Sequence[Node]) -> list[Problem]:
        problems = super().check(nodes) + missing("ssh")
        if problems:
            return problems  # nobody can be asked
        if self.deployment.builder in _NEED_A_DISK:
            why = f"images of the builder {self.deployment.builder!r} cannot be started from memory yet"
            return [Problem(why, key="platform")]
        problems += [
            Problem(
                f"node {node.name!r} has no address: that of its machine is not known",
                key="address",
                node=node.name,
                remedy="'address' of the node in the deployment file says it, or the option 'host', a name that this "
                "host resolves",
            )
            for node in nodes
            if node.address is None
        ]
        for node in nodes:
            problems += unusable(node.name, self._machines.options(node.name), self._export(node))
        problems += shared(self._taken(), {name: self._machines.place(name) for name in self._nodes})
        wrong = {problem.node for problem in problems}
        asked = [node for node in nodes if node.name not in wrong]
        faults = self._machines.ask([node.name for node in asked])
        for node in asked:
            why = faults.get(node.name) or self._fault(node)
            if why:
                problems.append(Problem(why, node=node.name))
        return problems

    def _taken(self) -> dict[str, str]:
        """Machines of nodes of other deployments, which the run has planned, and these nodes."""
        return {
            neighbour.platform._machines.place(node.name): neighbour.platform._machines.owner(node.name)
            for neighbour in self.neighbours
            if isinstance(neighbour.platform, Kexec)
            for node in neighbour.nodes()
        }

    def _fault(self, node: Node) -> str:
        answer = self._machines.answers[node.name]
        if answer is None and Ledger(self.state, node.name).exists():
            return ""  # it may run, and be silent: the engine knows what to do then
        if answer is None:
            return (
                f"its machine does not answer: {self._machines[node.name].why}. known_hosts must have its host key "
                "already: no machine is trusted on first use"
            )
        return "" if self._machines.is_ours(node.name, answer) else fault_of(answer, str(node.address))

    # -- where nodes are ---------------------------------------------------------------------------------------------

    def addresses(self, nodes: t.Sequence[Node]) -> dict[str, str]:
        """Those of hosts that are named, where the deployment file does not say the node's."""
        hosts = {node.name: str(node.options["host"]) for node in nodes if node.options.get("host")}
        asked = [node.name for node in nodes if node.name in hosts and not node.address_given]
        found = {}
        for name in asked:
            with suppress(OSError):
                found[name] = str(socket.getaddrinfo(hosts[name], None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
        return found

    # -- what nodes are told -------------------------------------------------------------------------------------

    def interfaces(self, node: Node) -> tuple[Interface, ...]:
        """The network that the machine has, whatever runs there."""
        if node.name not in self._machines.answers:
            self._machines.ask([name for name in self._nodes if name not in self._machines.answers])
        answer, told = self._machines.answers[node.name], Ledger(self.state, node.name).readable()[0]
        if answer is not None:
            return answer.interfaces
        if told is not None:
            return told.document.interfaces
        raise ComposeError(f"its machine does not answer: {self._machines[node.name].why}", node=node.name)

    def endpoint(self, node: Node) -> Endpoint:
        options = self._machines.options(node.name)
        if not options["host"]:
            raise ComposeError("has no address", node=node.name)
        host, port = str(options["host"]), t.cast(int, options["ssh_port"])
        return Endpoint(host, port, forwarded=host != node.address)

    # -- what runs -----------------------------------------------------------------------------------------------

    def ask(self, names: t.Collection[str]) -> dict[str, Seen]:
        for name, why in self._machines.ask(names).items():
            self.progress.say(f"{name}: {why}")
        seen = {}
        for name in names:
            answer, known = self._machines.answers[name], Ledger(self.state, name).exists()
            if answer is None:
                seen[name] = Seen("silent" if known else "absent")
            elif answer.node is not None and self._machines.is_ours(name, answer):
                seen[name] = Seen("running", answer.node.identity)
            elif known and not Ledger(self.state, name).is_under_way():
                self.progress.say(f"{name}: gone; its machine has booted its own Linux")
        return seen

    def observe(self, nodes: t.Sequence[Node]) -> dict[str, Seen]:
        seen = super().observe(nodes)
        for name, each in seen.items():
            answer = self._machines.answers[name]
            if each.state == "running" and answer is not None and answer.node is not None:
                # A run that was killed may have left it unconfirmed: then it does not stay.
                seen[name] = replace(each, leftovers=each.leftovers or not answer.node.confirmed)
        return seen

    def lost(self, nodes: t.Sequence[Node]) -> dict[str, Lost]:
        """Those that went back. Machines are asked now and then only: most of the time they are busy with booting."""
        if time.monotonic() - self._looked < LOOK:
            return {}
        self._machines.ask([node.name for node in nodes])
        self._looked = time.monotonic()
        answers = {node.name: self._machines.answers[node.name] for node in nodes}
        why = "its machine runs its own Linux again: it was shut down, or ended by itself"
        return {
            name: Lost(why, certain=True) for name, answer in answers.items() if answer is not None and not answer.node
        }

    def console(self, node: Node, lines: int = 50) -> str:
        """Nobody sees it from here."""
        return ""

    # -- images --------------------------------------------------------------------------------------------------

    def stage(self, targets: t.Sequence[Target]) -> bool:
        """Copy images to machines that run their own Linux, and have its kernel say whether it would start them; the
        others get theirs when they have left their node."""
        by_name = {target.node.name: target for target in targets}
        for image in distinct_images(targets):
            if image.volumes:
                volumes = ", ".join(image.volumes)
                raise InputError(f"role {image.role!r} has data volumes ({volumes}), which platform kexec lacks")

        exports = [(target.image, self._export(target.node)) for target in targets]
        copied = [export.put(image) for image, export in exports if export is not None]

        def act(name: str) -> NodeResult:
            return NodeResult(changed=self._stage(by_name[name]))

        outcomes = self._per_node("stage", by_name, act, lambda name, outcome: None)
        _require_none(_wrong(outcomes))
        return any(copied) or any(outcome.changed for outcome in outcomes.values())

    def _stage(self, target: Target) -> bool:
        name, image, export = target.node.name, target.image, self._export(target.node)
        machine, system = self._machines[name], System.of(image, over_nfs=export is not None)
        answer = machine.ask()
        if answer is None:
            return False
        why = misfit(image, system, answer)
        if why:
            raise ComposeError(why, node=name)
        if answer.node is not None:
            return False
        if export is not None:
            export.try_from(machine, image)
        if not bring(machine, image, system, answer, self.progress):
            return False
        rehearse(machine, image, system, answer)
        return True

    # -- nodes ---------------------------------------------------------------------------------------------------

    def boot(self, targets: t.Sequence[Target], tell: Tell) -> dict[str, NodeResult]:
        by_name = {target.node.name: target for target in targets}

        def act(name: str) -> NodeResult:
            target = by_name[name]
            self._leave(name, patient=True)
            within = int(self.option(target.node, "confirm_within"))
            export = self._export(target.node)
            start(self._machines[name], target, self._machines.owner(name), within, export, self.progress)
            return NodeResult(changed=True, message=f"boots {target.image.identity}")

        return self._per_node("switch", by_name, act, tell)

    def _leave(self, name: str, *, patient: bool) -> bool:
        """See to it that the machine runs its own Linux; whether a node had to end for that.

        :param patient: if nobody answers, wait for a machine that goes back by itself.
        """
        machine, options = self._machines[name], self._machines.options(name)
        answer = machine.ask()
        seconds = t.cast(int, options["reboot_timeout"])
        if answer is None:
            if not patient:
                raise ComposeError(f"its machine does not answer: {machine.why}", node=name)
            self.progress.say(f"{name}: does not answer; its machine goes back by itself unless the node is confirmed")
            seconds += t.cast(int, options["confirm_within"])
        elif answer.node is None:
            return False
        elif not self._machines.is_ours(name, answer):
            raise ComposeError(f"its machine runs another node, {answer.node.owner}", node=name)
        else:
            self.progress.say(f"{name}: back to its machine's own Linux")
            machine.do("rebooting", scripts.LEAVE, may_break=True)
        machine.wait(lambda now: now is not None and now.node is None, seconds, "booting its machine's own Linux")
        return True

    def release(self, names: t.Sequence[str], *, data: bool, tell: Tell) -> dict[str, NodeResult]:
        return self._end(names, tell, patient=False)

    def stop(self, names: t.Sequence[str], tell: Tell) -> dict[str, NodeResult]:
        return self._end(names, tell, patient=True)

    def _end(self, names: t.Sequence[str], tell: Tell, *, patient: bool) -> dict[str, NodeResult]:
        def act(name: str) -> NodeResult:
            known = name in self._nodes or Ledger(self.state, name).readable()[0] is not None
            return NodeResult(changed=known and self._leave(name, patient=patient))

        return self._per_node("remove", names, act, tell)

    def confirm(self, nodes: t.Sequence[Node]) -> dict[str, str]:
        def act(name: str) -> NodeResult:
            machine = self._machines[name]
            answer = machine.ask()
            if answer is None or answer.node is None or not self._machines.is_ours(name, answer):
                raise ComposeError("cannot be confirmed: its machine went back, or does not answer")
            if not answer.node.confirmed:
                machine.do("confirming", scripts.CONFIRM)
            return NodeResult(changed=not answer.node.confirmed)

        return _wrong(self._per_node("confirm", [node.name for node in nodes], act, lambda name, outcome: None))

    def commit(self, nodes: t.Sequence[Node], release: int) -> None:
        wrong = self.confirm(nodes)
        super().commit([node for node in nodes if node.name not in wrong], release)
        _require_none(wrong)

    def _per_node(
        self, step: str, names: t.Iterable[str], act: t.Callable[[str], NodeResult], tell: Tell
    ) -> dict[str, NodeResult]:
        left = set(names)

        def told(name: str, outcome: NodeResult) -> None:
            left.discard(name)
            tell(name, outcome)

        with self.progress.waiting(lambda: f"{step}: waiting for {listed(sorted(left))}"):
            return per_node(sorted(left), act, told, step=step, parallel=PARALLEL)

    def prune(self, keep: t.Collection[str]) -> None:
        """What a server holds; else what was staged is gone with the Linux that it was staged in, or once that gets
        another image."""
        boots = [boot for name in Ledger.names(self.state) for boot in Ledger(self.state, name).readable()]
        used = {*keep, *(boot.image.identity for boot in boots if boot is not None)}
        for export in self._exports():
            export.prune(used)

    def shares(self) -> list[str]:
        answers = [(name, self._machines.answers.get(name)) for name in self._nodes]
        staged = [f"{name}: image in the memory of its machine" for name, each in answers if each and each.staged]
        files = [f"file {name} of {export.directory}" for export in self._exports() for name in export.shelf.names()]
        return [*staged, *files]

    def teardown(self) -> None:
        """What was staged, and never started, takes memory of machines that answer."""

        def act(name: str) -> NodeResult:
            with suppress(ComposeError):
                drop(self._machines[name])
            return NodeResult()

        self._per_node("teardown", self._nodes, act, lambda name, outcome: None)
        for export in self._exports():
            export.shelf.remove()


def _wrong(outcomes: t.Mapping[str, NodeResult]) -> dict[str, str]:
    """Why nodes are not what was asked for."""
    return {name: outcome.message for name, outcome in outcomes.items() if not outcome.ok}


def _require_none(wrong: t.Mapping[str, str]) -> None:
    if wrong:
        raise ComposeError("\n".join(wrong[name] for name in sorted(wrong)))
