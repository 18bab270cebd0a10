# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platform ``kadeploy``: nodes on machines that Kadeploy installs, and that forget. PRIVATE to the collection.

What runs is asked of the nodes, and of their machines' power supply; going back is to deploy what was verified before.
"""

from __future__ import annotations

import math
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property

from ...errors import ComposeError
from ...model.boot import Seen, Target
from ...model.deployment import Deployment, Node
from ...model.document import Disk, Interface
from ...model.image import Image
from ...model.result import NodeResult, Problem
from ...nodes.endpoint import Endpoint
from ...nodes.keys import Keys
from ...progress import Progress, listed
from ..base import Lost, Tell, distinct_images
from ..forgetful import ForgetfulPlatform
from ..ledger import Ledger
from ..problems import missing, noting, refuse
from . import disks, machines
from .asking import asked
from .backend import PowerBackend
from .claims import Claims
from .deployments import Group, grouped
from .lender import require_none
from .options import ENVIRONMENT, OPTIONS
from .outcome import Outcome
from .placement import Placement
from .power import Logins, Management, Power
from .site import Site

if t.TYPE_CHECKING:
    from ...nodes.connection import Connection

#: Deployments that go on at the same time.
DEPLOYMENTS = 8
#: Seconds that a job must still have for a deployment to be begun.
LEAST = 60


class Kadeploy(ForgetfulPlatform):
    """Many machines with one call, some of which fail each time."""

    name = "kadeploy"
    formats = ("installed",)
    options = OPTIONS
    environment = ENVIRONMENT
    public_credentials = ("user",)
    own_addresses = True
    borrows = True

    def __init__(self, deployment: Deployment, progress: Progress) -> None:
        super().__init__(deployment, progress)
        self._keys = Keys(self.state)
        self._site = Site(deployment, self._keys, progress)
        self._nodes = {node.name: node for node in deployment.nodes}

    @classmethod
    def machines_of(cls, deployment: Deployment) -> dict[str, str]:
        named = {node.name: str(node.options["machine"]) for node in deployment.nodes if node.options.get("machine")}
        return {**Claims(deployment.state).machines(), **named}

    @classmethod
    def makes_machine(cls, node: Node, known: t.Collection[str]) -> bool:
        return False

    # -- what there is -------------------------------------------------------------------------------------------

    @cached_property
    def _power(self) -> Power:
        if isinstance(self._site.backend, PowerBackend):
            return Management(self._site.backend, self.progress)
        return Logins(lambda name: self._connection(self._as_told(name)), self.progress)

    @cached_property
    def _placement(self) -> Placement:
        def lent() -> t.Sequence[str]:
            return self._site.lender.machines if self._site.lender else ()

        return Placement(self.deployment, lent, self._site.access.frontend_host, self.progress)

    @property
    def _bound(self) -> t.Mapping[str, str]:
        """Node → machine."""
        return self._placement.bound

    def option(self, node: Node, name: str) -> t.Any:
        if name == "machine":
            return node.options.get("machine") or self._bound.get(node.name)
        return super().option(node, name)

    # -- before anything is touched ------------------------------------------------------------------------------

    def check(self, nodes: t.Sequence[Node]) -> list[Problem]:
        reservation = self.deployment.reservation
        problems = super().check(nodes) + missing("ssh")
        problems += disks.wrong(nodes, reservation.disks if reservation else None)
        if not self._site.lender:
            problems += self._placement.problems()
            problems += self._site.claims.elsewhere(self._site.access.place, self._bound)
            with noting(problems, key="reservation"):
                require_none(self.state)
        # With a reservation, nodes may get their machines later.
        placed = [node for node in nodes if node.name in self._bound]
        problems += machines.homeless(placed, self._bound)
        with noting(problems):  # without this, nobody can be asked
            self._site.access.require({option for node in nodes for option, value in node.options.items() if value})
            with noting(problems, key="directory"):
                self._site.store.require()
            if self._site.lender:
                with noting(problems, key="reservation"):
                    self._site.lender.check()
            problems += self._unknown(placed)
        return problems

    def check_volumes(self, nodes: t.Sequence[Node], volumes: t.Mapping[str, t.Collection[str]]) -> list[Problem]:
        return disks.without(nodes, volumes)

    def _unknown(self, nodes: t.Sequence[Node]) -> list[Problem]:
        """The nodes whose machine Kadeploy does not have."""
        known = self._site.backend.nodes()
        return machines.unknown(nodes, self._bound, known, f"{self._site.backend.where} has no machine")

    # -- reservations ----------------------------------------------------------------------------------------------

    def acquire(self) -> bool:
        if not self._site.lender:
            return False
        done = self._site.lender.acquire()
        self._placement.lend()
        nodes = self.deployment.nodes
        for node in nodes:
            if left := self._placement.data_left(node.name):
                self.progress.say(f"{node.name}: {left}")
        refuse(self._placement.problems())
        found = self.addresses(nodes)
        placed = [replace(node, address=found.get(node.name, node.address)) for node in nodes]
        refuse([*self._unknown(placed), *machines.homeless(placed, self._bound)])
        return done

    def run_failed(self) -> bool:
        if not self._site.lender or self._site.lender.wanted.on_failure != "release":
            return False
        if any(Ledger(self.state, name).readable()[1] for name in Ledger.names(self.state)):
            return False
        return self._site.lender.release()

    # -- nodes ---------------------------------------------------------------------------------------------------

    def addresses(self, nodes: t.Sequence[Node]) -> dict[str, str]:
        return self._placement.addresses(nodes)

    def interfaces(self, node: Node) -> tuple[Interface, ...]:
        """None that the node would have to be told of: the site's network gives machines their addresses."""
        return ()

    def disks(self, node: Node) -> tuple[Disk, ...]:
        return disks.disks_of(self.deployment, node)

    def endpoint(self, node: Node) -> Endpoint:
        address = self._placement.address(node)
        if address is None:
            raise ComposeError("the address of its machine is not known", node=node.name)
        proxy = self.option(node, "proxy_command")
        return Endpoint(address, 22, proxy, forwarded=proxy is not None)

    def _known(self, name: str) -> Node:
        """A node, also one that the deployment does not have any more."""
        return self._nodes[name] if name in self._nodes else self._as_told(name)

    def _as_told(self, name: str) -> Node:
        """A node as it was when it was last told to boot."""
        boot = Ledger(self.state, name).readable()[0]
        if boot is None:
            return Node(name, "")
        return Node(name, boot.image.role, address=boot.document.address, options=boot.options)

    # -- what runs -----------------------------------------------------------------------------------------------

    def ask(self, names: t.Collection[str]) -> dict[str, Seen]:
        known = [name for name in names if Ledger(self.state, name).exists()]
        if not known:
            return {}
        seen = self._asked(known)
        mute = [name for name in known if seen[name].state == "silent"]
        if mute and self._site.lender and not self._site.lender.holds():
            self.progress.say(f"{listed(mute)}: the job that had their machines is over")
            return {**seen, **dict.fromkeys(mute, Seen("stopped"))}
        off = self._off(mute)
        return {**seen, **dict.fromkeys(off, Seen("stopped"))}

    def _asked(self, names: t.Sequence[str]) -> dict[str, Seen]:
        return asked(names, lambda name: self._connection(self._known(name)), self._placement.machine, self.progress)

    def _connection(self, node: Node) -> Connection:
        from ...nodes.connection import connect

        return connect(node.name, self.endpoint(node), self._keys)

    def _off(self, names: t.Sequence[str]) -> set[str]:
        """Those of the nodes whose machines are switched off, as far as that can be told."""
        return self._power.are_off({self._placement.machine(name): name for name in names})

    def observe(self, nodes: t.Sequence[Node]) -> dict[str, Seen]:
        seen = super().observe(nodes)
        where = {name: self._placement.elsewhere(name) for name in seen}
        return {name: replace(each, differs=where[name] or each.differs) for name, each in seen.items()}

    def lost(self, nodes: t.Sequence[Node]) -> dict[str, Lost]:
        if self._site.lender and not self._site.lender.still_holds():
            over = Lost("the job that had its machine is over", certain=True)
            return dict.fromkeys((node.name for node in nodes), over)
        off = self._off([node.name for node in nodes])
        return dict.fromkeys(off, Lost("it was shut down, or ended by itself", certain=True))

    def console(self, node: Node, lines: int = 50) -> str:
        return ""

    # -- images --------------------------------------------------------------------------------------------------

    def stage(self, targets: t.Sequence[Target]) -> bool:
        images = distinct_images(targets)
        lacking = [disks.without([target.node], {target.node.role: target.image.volumes}) for target in targets]
        refuse([problem for problems in lacking for problem in problems])
        if not self._site.lender:
            refuse(self._site.claims.elsewhere(self._site.access.place, self._bound))
        self._site.claims.write(self._site.access.place, self._bound)
        copied = [self._stage(image) for image in images]
        for group in self._groups(targets):
            self._site.deployer.rehearse(group)
        return any(copied)

    def _stage(self, image: Image) -> bool:
        with self.progress.waiting(lambda: f"copying {image.identity}"):
            return self._site.store.put_image(image)

    def prune(self, keep: t.Collection[str]) -> None:
        boots = [boot for name in Ledger.names(self.state) for boot in Ledger(self.state, name).readable()]
        self._site.store.drop_images({*keep, *(boot.image.identity for boot in boots if boot is not None)})
        self._site.deployer.tidy()

    def remove(self, names: t.Sequence[str], *, data: bool, tell: Tell) -> dict[str, NodeResult]:
        outcomes = super().remove(names, data=data, tell=tell)
        self._site.claims.drop([name for name, outcome in outcomes.items() if outcome.ok])
        return outcomes

    def shares(self) -> list[str]:
        files = self._site.store.names() if self._site.access.directory else []
        jobs = self._site.lender.lent() if self._site.lender else []
        return [*map(str, jobs), *(f"file {name} of {self._site.access.directory}" for name in files)]

    def teardown(self) -> None:
        self._site.claims.drop(list(self._site.claims.machines()))  # what was only staged
        if self._site.access.directory:
            self._site.store.remove()
        if self._site.lender:
            self._site.lender.release()
        else:
            require_none(self.state)

    # -- nodes that boot -----------------------------------------------------------------------------------------

    def _groups(self, targets: t.Sequence[Target]) -> list[Group]:
        """What is deployed with one call each; none takes longer than the job of the machines."""
        left = self._site.lender.left() if self._site.lender else math.inf
        if left < LEAST:
            raise ComposeError(
                f"the job of the machines ends in {left:.0f} s, too soon to deploy them: extend it (oar_job), or "
                "destroy the deployment"
            )
        return grouped(targets, self._site.prefix, self.option, left)

    def switch(self, targets: t.Sequence[Target], tell: Tell) -> dict[str, NodeResult]:
        for target in targets:
            self._placement.replace_failed(target.node)
        return super().switch(targets, tell)

    def boot(self, targets: t.Sequence[Target], tell: Tell) -> dict[str, NodeResult]:
        outcomes: dict[str, NodeResult] = {}
        groups = self._groups(targets)
        self._leave(targets)
        going = {target.node.name: str(self.option(target.node, "machine")) for target in targets}
        self._site.claims.write(self._site.access.place, going)
        with ThreadPoolExecutor(max_workers=min(DEPLOYMENTS, len(groups))) as pool:
            for results in pool.map(self._deploy, groups):
                for name, result in results.items():
                    outcomes[name] = result
                    tell(name, result)
        return outcomes

    def _leave(self, targets: t.Sequence[Target]) -> None:
        """Switch off machines that nodes move away from: at no time may two be the same node."""
        left = self._placement.left(targets, {str(self.option(target.node, "machine")) for target in targets})
        for machine, why in self._switch_off(left).items():
            self.progress.say(f"{machine}, which a node has left, could not be switched off: {why}")

    def _deploy(self, group: Group) -> dict[str, NodeResult]:
        nodes = {machine: target.node.name for machine, target in group.targets.items()}
        try:
            self._stage(group.image)  # going back may need what was forgotten here
            outcome = self._site.deployer.deploy(group, lambda machines: self._are_up(group, machines))
        except ComposeError as error:
            return {name: NodeResult(False, True, f"{machine}: {error.message}") for machine, name in nodes.items()}
        if outcome.error is None:
            self._placement.failed(outcome.failed)
        return {name: self._result(name, machine, group, outcome) for machine, name in nodes.items()}

    def _result(self, name: str, machine: str, group: Group, outcome: Outcome) -> NodeResult:
        """What became of a node."""
        why = outcome.reasons().get(machine)
        if why is None and outcome.error is None:
            left = self._placement.data_left(name)
            return NodeResult(True, True, f"boots {group.image.identity} on {machine}{left and f'; {left}'}")
        return NodeResult(False, True, f"{machine}: {why}")

    def _are_up(self, group: Group, machines: t.Sequence[str]) -> bool:
        """Whether all of these machines run what the group boots."""
        names = [group.targets[machine].node.name for machine in machines]
        return all(seen.identity == group.image.identity for seen in self._asked(names).values())

    def stop(self, names: t.Sequence[str], tell: Tell) -> dict[str, NodeResult]:
        outcomes = super().stop(names, tell)
        for name in names if not isinstance(self._site.backend, PowerBackend) else ():
            boot = Ledger(self.state, name).readable()[0]
            if boot is not None:  # nobody can tell later that it is off: what it boots next is what matters
                Ledger(self.state, name).intend(boot)
        return outcomes

    def release(self, names: t.Sequence[str], *, data: bool, tell: Tell) -> dict[str, NodeResult]:
        known = {name: self._placement.machines(name) for name in names if Ledger(self.state, name).exists()}
        wrong = self._switch_off({machine: name for name, found in known.items() for machine in found})
        outcomes = {}
        for name in names:
            why = "; ".join(f"{machine}: {wrong[machine]}" for machine in known.get(name, ()) if machine in wrong)
            outcomes[name] = NodeResult(not why, name in known, why)
            tell(name, outcomes[name])
        return outcomes

    def _switch_off(self, which: t.Mapping[str, str]) -> dict[str, str]:
        """Switch off machines, which somebody may still deploy; those that are not off, and why."""
        try:
            if which:
                self._site.deployer.end(which)
        except ComposeError as error:
            return dict.fromkeys(which, error.message)
        return self._power.switch_off(which)
