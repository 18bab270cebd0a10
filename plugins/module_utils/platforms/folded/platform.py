# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platform ``folded``: containers on the machines of another deployment, with one network between them. PRIVATE.

A machine is told what to do over SSH, by shell scripts (:mod:`.scripts`); its systemd looks after the containers. It
has forgotten all when it boots again, so what was told and verified is in the ledger of the host that deploys.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import shlex
import time
import typing as t
import uuid
from contextlib import suppress
from dataclasses import replace
from functools import cached_property

from ...describe.options import Option
from ...describe.seats import Seats, rule_of
from ...errors import ComposeError, InputError
from ...model.boot import Boot, Seen, Target
from ...model.codec import encode
from ...model.deployment import Deployment, Fold, Node
from ...model.document import Interface, Match, NodeDocument
from ...model.image import ARCHITECTURES, Image
from ...model.result import NodeResult, Problem
from ...nodes.endpoint import Endpoint
from ...progress import Progress
from ..base import Lost, Tell, distinct_images, per_node
from ..forgetful import ForgetfulPlatform
from ..hands import HasPower
from ..ledger import Ledger
from ..problems import missing
from . import scripts
from .faults import about_to_boot, crowded, unfit, volumeless
from .machines import Machines
from .seating import Seat, seated

#: Seconds for a node to stop its services before it is killed: nothing of it stays.
STOP = 10
#: Seconds between two looks at nodes that are waited for.
LOOK = 2.0
#: Largest ratio of a root file system to its squashfs that is expected, where it has to be unpacked.
_EXPANSION = 5
#: The part of a machine's memory that ``pack`` fills with nodes: the rest is its own.
_SHARE = 0.75


class Folded(ForgetfulPlatform, HasPower):
    """What :class:`.nspawn.platform.Nspawn` is on this host, on several machines."""

    name = "folded"
    formats = ("root",)
    boots_kernel = False
    is_fold = True
    options = {
        "machine": Option(str, None, "Node of the other deployment on which this node runs. By default one is chosen."),
        "memory": Option(int, 128, "MiB of memory that the node takes at least: so many nodes as have room.", least=1),
    }

    def __init__(self, deployment: Deployment, progress: Progress) -> None:
        super().__init__(deployment, progress)
        self.state = os.path.realpath(deployment.state)
        #: Of all that machines have of this deployment.
        self._own = f"compose-{deployment.name}-{hashlib.sha256(self.state.encode()).hexdigest()[:6]}"
        self._network_id = int(hashlib.sha256(self._own.encode()).hexdigest()[:6], 16) or 1
        self._looked = 0.0

    @classmethod
    def machines_of(cls, deployment: Deployment) -> dict[str, str]:
        with suppress(OSError, InputError):
            written = Seats.read(deployment.state)
            return dict(written.nodes) if written else {}
        return {}

    # -- machines ------------------------------------------------------------------------------------------------

    @cached_property
    def _fold(self) -> Fold:
        if self.deployment.fold is None:
            raise InputError(f"deployment {self.deployment.name!r} does not say what its nodes are folded onto")
        return self.deployment.fold

    @cached_property
    def _machines(self) -> Machines:
        return Machines(self._fold.state, self._own, self.progress)

    @cached_property
    def _booting(self) -> set[str]:
        return about_to_boot(self.neighbours, self._fold)

    @cached_property
    def _written(self) -> Seats:
        rule = rule_of(self._fold)
        return Seats.read(self.state) or Seats(os.path.realpath(self._fold.state), rule)

    @cached_property
    def _seats(self) -> dict[str, str]:
        """Node → machine, as the deployment file means it."""
        written, seats = self._written, {}
        for node in self.deployment.nodes:
            machine, memory = self._asked(node, "machine"), self._asked(node, "memory")
            seats[node.name] = Seat(t.cast(str, machine or ""), t.cast(int, memory))
        kept = {} if self._is_ruled_anew() else written.nodes
        room: dict[str, int] = {}
        if self._fold.place == "pack" and any(not seat.machine and name not in kept for name, seat in seats.items()):
            self._machines.ask(self._fold.machines)
            room = {name: int(each.total * _SHARE) >> 10 for name, each in self._machines.answers.items()}
        return seated(seats, self._fold, room, kept)

    def _is_ruled_anew(self) -> bool:
        return self._written.rule != rule_of(self._fold)

    def _asked(self, node: Node, option: str) -> t.Any:
        return node.options.get(option, self.options[option].default)

    def option(self, node: Node, name: str) -> t.Any:
        asked = self._asked(node, name)
        return self._seats.get(node.name) if name == "machine" and asked is None else asked

    def _at(self, node: Node) -> str:
        """The machine that a node is on, or is to be on if it is on none."""
        return self._written.nodes.get(node.name) or str(self.option(node, "machine"))

    def _told(self, name: str) -> set[str]:
        """Machines on which the node was to run."""
        ledger = Ledger(self.state, name)
        return {str(boot.options.get("machine")) for boot in (*ledger.readable(), ledger.intended()) if boot}

    def _where(self, name: str) -> set[str]:
        """Machines that may have the node."""
        meant = [each[name] for each in (self._seats, self._written.nodes) if name in each]
        return {machine for machine in (*self._told(name), *meant) if machine in self._machines.addresses}

    def _keep(self, seats: t.Mapping[str, str], machines: t.Iterable[str] = ()) -> None:
        """Write down who is where. :param machines: on which there may be something from now on."""
        there = sorted({*self._written.machines, *machines, *seats.values()})
        self._written = replace(self._written, nodes=dict(seats), machines=there, rule=rule_of(self._fold))
        self._written.write(self.state, self.deployment.name)

    # -- before anything is touched ------------------------------------------------------------------------------

    def check(self, nodes: t.Sequence[Node]) -> list[Problem]:
        problems = super().check(nodes) + missing("ssh")
        fold = self._fold
        if self._written.nodes and self._written.onto != os.path.realpath(fold.state):
            names = ", ".join(sorted(self._written.nodes))
            why = f"{names} are on machines of another deployment ({self._written.onto}): destroy them first"
            return [*problems, Problem(why, key="fold.onto")]
        if self.deployment.builder == "nxc":
            why = "images of the builder 'nxc' run in the store of the host that built them: they cannot be folded"
            problems.append(Problem(why, key="platform"))
        problems += [
            Problem(f"has no address on {self.deployment.network}", key="address", node=node.name)
            for node in nodes
            if node.address is None
        ]
        seats = {node.name: self._seats[node.name] for node in nodes}
        self._machines.ask(sorted(set(seats.values())), scripts.NEEDS)
        for name, machine in seats.items():
            # What the run is about to boot may be another system: it plans again, once that is there.
            if machine not in self._booting:
                exists = Ledger(self.state, name).exists()
                problems += unfit(name, machine, fold.onto, self._machines, exists=exists)
        memory = {
            node.name: t.cast(int, self.option(node, "memory"))
            for node in nodes
            if seats[node.name] in self._booting or not self._runs_on(node.name, seats[node.name])
        }
        return [*problems, *crowded(memory, seats, self._machines.answers, self._booting)]

    def _runs_on(self, name: str, machine: str) -> bool:
        answer = self._machines.answers.get(machine)
        return answer is not None and name in answer.nodes

    def check_volumes(self, nodes: t.Sequence[Node], volumes: t.Mapping[str, t.Collection[str]]) -> list[Problem]:
        return [
            Problem(
                volumeless(node.role, volumes[node.role]),
                node=node.name,
                remedy="a deployment without 'fold' can have the role",
            )
            for node in nodes
            if volumes.get(node.role)
        ]

    # -- what nodes are told, and where they are -----------------------------------------------------------------

    def interfaces(self, node: Node) -> tuple[Interface, ...]:
        prefix = ipaddress.IPv4Network(self.deployment.network).prefixlen
        return (Interface(Match(name="host0"), f"{node.address}/{prefix}"),)

    def endpoint(self, node: Node) -> Endpoint:
        config, way = self._machines.ssh_config, f"{scripts.PLACE}/{self._own}/way"
        command = ["ssh", "-F", config, "-o", "BatchMode=yes", self._at(node), "sh", way, self._own, node.name]
        return Endpoint(str(node.address), proxy_command=shlex.join(command))

    # -- what runs -----------------------------------------------------------------------------------------------

    def ask(self, names: t.Collection[str]) -> dict[str, Seen]:
        where = {name: self._where(name) for name in names}
        self._machines.ask({machine for machines in where.values() for machine in machines})
        seen = {}
        for name, machines in where.items():
            on = [machine for machine in sorted(machines) if self._runs_on(name, machine)]
            if on:
                left = len(on) > 1 or self._is_ruled_anew()
                seen[name] = Seen("running", self._machines.answers[on[0]].nodes[name], leftovers=left)
            elif Ledger(self.state, name).exists() and any(machine in self._machines.why for machine in machines):
                seen[name] = Seen("silent")
        for machine, why in sorted(self._machines.why.items()):
            self.progress.say(f"machine {machine}: {why}")
        return seen

    def observe(self, nodes: t.Sequence[Node]) -> dict[str, Seen]:
        seen = super().observe(nodes)
        for node in nodes:
            told = Ledger(self.state, node.name).readable()[0]
            was, meant = told.options.get("machine") if told else None, self.option(node, "machine")
            if was not in (None, meant):
                seen[node.name] = replace(seen[node.name], differs=(f"machine {was} → {meant}",))
            elif meant in self._booting and seen[node.name].state == "running":
                seen[node.name] = replace(seen[node.name], differs=(f"its machine {meant} is booted",))
        return seen

    def commit(self, nodes: t.Sequence[Node], release: int) -> None:
        super().commit(nodes, release)
        if self._is_ruled_anew():  # and nobody had to go anywhere
            self._keep(self._written.nodes)

    def lost(self, nodes: t.Sequence[Node]) -> dict[str, Lost]:
        if time.monotonic() - self._looked < LOOK:
            return {}
        seats = {node.name: self._at(node) for node in nodes}
        self._machines.ask(set(seats.values()))
        self._looked = time.monotonic()
        return {
            name: Lost("it does not run any more: it was shut down, or ended by itself", certain=True)
            for name, machine in seats.items()
            if machine in self._machines.answers and not self._runs_on(name, machine)
        }

    def console(self, node: Node, lines: int = 50) -> str:
        with suppress(ComposeError):
            machine = self._machines[self._at(node)]
            return machine.do("reading a console", scripts.CONSOLE, node.name, str(lines))
        return ""

    # -- images --------------------------------------------------------------------------------------------------

    def stage(self, targets: t.Sequence[Target]) -> bool:
        seats = {target.node.name: str(self.option(target.node, "machine")) for target in targets}
        self._machines.ask(set(seats.values()))
        wanted: dict[str, list[Image]] = {}
        for machine in sorted(set(seats.values())):
            ours = [target for target in targets if seats[target.node.name] == machine]
            wanted[machine] = [image for image in distinct_images(ours) if self._has_to_travel(image, machine)]
        self._keep({**self._written.nodes, **seats}, wanted)
        due = [machine for machine, images in wanted.items() if images]

        def bring(machine: str) -> None:
            for image in wanted[machine]:
                self._bring(image, machine)

        self._machines.each("stage", bring, due)
        return bool(due)

    def _has_to_travel(self, image: Image, machine: str) -> bool:
        """:raises ComposeError: it cannot run there, or has no room."""
        if image.volumes:
            raise ComposeError(volumeless(image.role, image.volumes))
        path, answer = image.path("root"), self._machines.answers.get(machine)
        if answer is None:
            raise ComposeError(f"machine {machine!r} does not answer: {self._machines.why.get(machine, 'it is gone')}")
        if not os.path.exists(path):
            raise ComposeError(f"image {image.identity}: its file {path} is missing")
        if ARCHITECTURES.get(answer.architecture, answer.architecture) != image.architecture:
            raise ComposeError(
                f"image {image.identity} is for {image.architecture}, but machine {machine!r} is {answer.architecture}"
            )
        if image.identity in answer.staged:
            return False
        size = os.path.getsize(path) >> 10
        needed = size if answer.mounts else size * (1 + _EXPANSION)
        if needed > answer.free:
            raise ComposeError(
                f"no room for {image.identity} on machine {machine!r}: /run has {answer.free >> 10} MiB free, up to "
                f"{needed >> 10} MiB are needed"
            )
        return True

    def _bring(self, image: Image, machine: str) -> None:
        self.progress.say(f"stage {image.identity}: to machine {machine}")
        self._machines[machine].bring(image.identity, image.path("root"))

    def prune(self, keep: t.Collection[str]) -> None:
        """Also whatever there is on machines that have no node any more."""
        boots = [boot for name in Ledger.names(self.state) for boot in Ledger(self.state, name).readable() if boot]
        used = sorted({*keep, *(boot.image.identity for boot in boots)})
        busy = set(self._written.nodes.values())
        there = [machine for machine in self._written.machines if machine in self._machines.addresses]
        self._machines.ask(there)

        def tidy(machine: str) -> None:
            self._machines[machine].do("tidying", scripts.TIDY, *(used if machine in busy else ()))

        answering = [machine for machine in there if machine in self._machines.answers]
        self._machines.each("prune", tidy, answering)
        left = {machine for machine in there if machine in busy or machine not in answering}
        if left != set(self._written.machines):
            self._written = replace(self._written, machines=sorted(left))
            self._written.write(self.state, self.deployment.name)

    # -- nodes ---------------------------------------------------------------------------------------------------

    def _boot_of(self, target: Target) -> Boot:
        boot = super()._boot_of(target)
        return replace(boot, options={"machine": self.option(target.node, "machine")})

    def boot(self, targets: t.Sequence[Target], tell: Tell) -> dict[str, NodeResult]:
        by_name = {target.node.name: target for target in targets}
        seats = {name: str(self.option(target.node, "machine")) for name, target in by_name.items()}
        self._keep({**self._written.nodes, **seats})
        self._machines.ask({machine for name in by_name for machine in {seats[name], *self._where(name)}})
        self._connect(set(self._written.nodes.values()))

        def act(name: str) -> NodeResult:
            target = by_name[name]
            if self._has_to_travel(target.image, seats[name]):
                self._bring(target.image, seats[name])
            self._end(name, "soft", {seats[name], *self._where(name)})
            if self._told(name) - {seats[name]}:
                self._forget_places([name])
            self._start(name, seats[name], target.image.identity, target.document)
            return NodeResult(changed=True, message=f"boots {target.image.identity} on {seats[name]}")

        return per_node(sorted(by_name), act, tell, step="switch")

    def _connect(self, machines: t.Collection[str]) -> None:
        """Have one network between these machines, as far as they answer."""
        addresses = {name: self._machines.addresses[name] for name in machines if name in self._machines.addresses}
        self._machines.ask(name for name in addresses if name not in self._machines.answers)

        def connect(name: str) -> None:
            others = [address for other, address in sorted(addresses.items()) if other != name]
            arguments = (str(self._network_id), addresses[name], *others)
            self._machines[name].do("networking", scripts.NETWORK, *arguments, data=scripts.WAY.encode())

        self._machines.each("network", connect, [name for name in addresses if name in self._machines.answers])

    def _forget_places(self, names: t.Iterable[str]) -> None:
        """Bridges and tunnels look for a node where it has sent something last, for minutes."""
        addresses = [self._mac(name) for name in names]
        for machine in set(self._written.nodes.values()) & set(self._machines.answers):
            self._machines[machine].do("networking", scripts.FORGET, *addresses)

    def _id(self, name: str) -> uuid.UUID:
        return uuid.uuid5(uuid.NAMESPACE_URL, f"{self._own}/{name}")

    def _mac(self, name: str) -> str:
        """Of the node's network device: else it would be another on each machine, unknown to its peers."""
        return ":".join(["02", *(f"{byte:02x}" for byte in self._id(name).bytes[:5])])

    def _start(self, name: str, machine: str, identity: str, document: NodeDocument) -> None:
        arguments = (name, identity, str(self._id(name)), self._mac(name), str(STOP))
        data = json.dumps(encode(document)).encode()
        self._machines[machine].do("starting", scripts.START, *arguments, data=data)

    def _end(self, name: str, how: str, machines: t.Collection[str]) -> bool:
        """Have no machine run the node; whether one had anything of it.

        :raises ComposeError: a machine does not answer.
        """
        for machine in machines:
            if machine in self._machines.why:
                raise ComposeError(f"its machine {machine!r} does not answer: {self._machines.why[machine]}")
        said = [self._machines[machine].do("stopping", scripts.STOP, name, how) for machine in sorted(machines)]
        return any(said)

    def release(self, names: t.Sequence[str], *, data: bool, tell: Tell) -> dict[str, NodeResult]:
        used = set(self._written.nodes.values()) & set(self._machines.addresses)
        self._machines.ask(used.union(*map(self._where, names)))
        outcomes = per_node(
            sorted(names),
            lambda name: NodeResult(changed=self._end(name, "soft", self._where(name))),
            tell,
            step="remove",
        )
        gone = {name for name, outcome in outcomes.items() if outcome.ok}
        left = {name: machine for name, machine in self._written.nodes.items() if name not in gone}
        if left != self._written.nodes:
            if left:  # which may soon hear of nodes with these names in other places
                self._forget_places(gone)
            self._keep(left)
        return outcomes

    def refresh(self, node: Node, document: NodeDocument, document_digest: str) -> None:
        machine = self._machines[self._at(node)]
        machine.do("keeping a document", scripts.KEEP, node.name, data=json.dumps(encode(document)).encode())
        super().refresh(node, document, document_digest)

    # -- what there is of no single node -------------------------------------------------------------------------

    def shares(self) -> list[str]:
        self._machines.ask(self._written.machines)
        there = [name for name in self._written.machines if name in self._machines.addresses]
        wrong = [name for name in there if name not in self._machines.answers or self._machines.answers[name].there]
        return [f"images and network on machine {name}" for name in wrong]

    def teardown(self) -> None:
        machines = [name for name in self._written.machines if name in self._machines.addresses]
        self._machines.each("teardown", lambda name: self._machines[name].do("tidying", scripts.TIDY), machines)
        self._written.forget(self.state, self.deployment.name)
        del self._written

    # -- what test scripts ask for -------------------------------------------------------------------------------

    def is_on(self, node: Node) -> bool:
        self._machines.ask([self._at(node)])
        return self._runs_on(node.name, self._at(node))

    def turn_on(self, node: Node) -> None:
        if self.is_on(node):
            return
        boot = Ledger(self.state, node.name).current()
        if boot is None:
            raise ComposeError("nothing says what it ran", node=node.name)
        self._end(node.name, "hard", [self._at(node)])
        self._start(node.name, self._at(node), boot.image.identity, boot.document)

    def turn_off(self, node: Node, *, hard: bool) -> None:
        self._end(node.name, "hard" if hard else "soft", [self._at(node)])
