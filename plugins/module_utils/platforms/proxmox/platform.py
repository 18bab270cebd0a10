# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platform ``proxmox``: nodes are VMs of a Proxmox VE cluster. PRIVATE to the collection.

What is here maps the steps of a platform to the files beside it, which do the work.
"""

from __future__ import annotations

import ipaddress
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ...describe.ownership import DataVolume, Owner
from ...errors import ComposeError, InputError
from ...images.handover import is_nxc
from ...model.boot import Seen, Target
from ...model.deployment import Deployment, Node
from ...model.document import Interface, Match, NodeDocument
from ...model.image import Image
from ...model.result import NodeResult, Problem
from ...nodes.endpoint import Endpoint
from ...progress import Progress, listed
from .. import boot_signs
from ..base import Lost, Platform, Tell, per_node
from . import ha
from .agent import told_address
from .answers import Feature
from .checks import check
from .config import Config
from .consoles import Consoles
from .going_back import go_back
from .hands import SwitchesVms
from .machines import Making, data_volumes
from .networks import bridges
from .observing import look
from .options import OPTIONS
from .pruning import References, drop_volumes
from .record import DOCUMENT_SERIAL, Boot, Record
from .service import ENVIRONMENT, Service
from .staging import Wanted
from .switching import NOT_STARTED, Wishes, boot, drop_snapshot
from .values import differences, power
from .vm import Vm

T = t.TypeVar("T")

#: Of the machines that Proxmox VE runs on, and of its VMs, unless root has set another one.
ARCHITECTURE = "amd64"


class Proxmox(Platform, SwitchesVms):
    """Virtual machines of a cluster, found by tag or number, or made."""

    name = "proxmox"
    formats = ("qcow2",)
    environment: t.ClassVar = ENVIRONMENT
    public_credentials: t.ClassVar = ("host", "user", "token_id", "ca_file", "fingerprint")
    host_variables: t.ClassVar = {"vmid": "proxmox_vmid"}
    options: t.ClassVar = OPTIONS

    def __init__(self, deployment: Deployment, progress: Progress) -> None:
        super().__init__(deployment, progress)
        self.service = Service(deployment, progress)
        self.consoles = Consoles(deployment.state, progress)

    @classmethod
    def makes_machine(cls, node: Node, known: t.Collection[str]) -> bool:
        return "vmid" not in known and not node.options.get("adopt")

    # -- what is there -------------------------------------------------------------------------------------------

    def interfaces(self, node: Node) -> tuple[Interface, ...]:
        match = Match(mac=self.service.mac(node))
        if self.option(node, "address") == "agent":
            return (Interface(match, dhcp=True),)
        length = ipaddress.IPv4Network(self.deployment.network).prefixlen
        gateway = self.option(node, "gateway")
        return (Interface(match, f"{node.address}/{length}", gateway or None),)

    def port_address(self, node: Node) -> str | None:
        return node.address if self.option(node, "address") == "given" else None

    def endpoint(self, node: Node) -> Endpoint:
        if self.option(node, "address") == "given":
            return Endpoint(str(node.address))
        vm = self.service.find(node.name)
        address = told_address(vm, self.deployment.boot_timeout) if vm else None
        if address is None:
            raise ComposeError("the guest agent tells no address", node=node.name)
        return Endpoint(address)

    def volumes(self, names: t.Iterable[str]) -> dict[str, list[DataVolume]]:
        wanted = [name for name in names if self.service.find(name) is not None]
        return {name: found for name, found in zip(wanted, self._each(self._data_of, wanted)) if found}

    def _data_of(self, name: str) -> list[DataVolume]:
        vm = self.service.find(name)
        config = vm.config() if vm else None
        record = self.service.machines.record(config, vm.vmid) if vm and config else None
        return data_volumes(config, record) if config and record else []

    def console(self, node: Node, lines: int = 50) -> str:
        return "\n".join(self.consoles.text(node.name).splitlines()[-lines:])

    def lost(self, nodes: t.Sequence[Node]) -> dict[str, Lost]:
        states = self.service.cluster.states()
        vms = {node.name: vm for node in nodes if (vm := self.service.find(node.name)) is not None}
        self.consoles.follow(vms)
        # The list is some seconds old: only the VM itself is certain that it is off.
        asked = [name for name, vm in vms.items() if states.get(vm.vmid) != "running"]
        status = dict(zip(asked, self._each(lambda name: vms[name].status(), asked)))
        words = "its VM is off: it was shut down, or ended by itself"
        stuck = {name: boot_signs.trouble(self.consoles.heard(name)) for name in vms}
        return {name: Lost(why, certain=False) for name, why in stuck.items() if why} | {
            name: Lost(f"{words} (VM {vms[name].vmid} on {vms[name].node})", certain=not told.ha.managed)
            for name, told in status.items()
            if told.status == "stopped"
        }

    def check(self, nodes: t.Sequence[Node]) -> list[Problem]:
        return check(self.service, nodes)

    def observe(self, nodes: t.Sequence[Node]) -> dict[str, Seen]:
        members = {node.name: node for node in nodes}
        names = sorted({*members, *self.service.machines.names()})
        return dict(zip(names, self._each(lambda name: look(self.service, name, members.get(name)), names)))

    def _each(self, act: t.Callable[[str], T], names: t.Sequence[str]) -> list[T]:
        """Act on nodes at the same time; the first error is everybody's."""

        def guarded(name: str) -> T:
            try:
                return act(name)
            except ComposeError as error:
                error.node = error.node or name
                raise

        with ThreadPoolExecutor(max_workers=self.service.parallel) as pool:
            return list(pool.map(guarded, names))

    # -- stage and switch ----------------------------------------------------------------------------------------

    def stage(self, targets: t.Sequence[Target]) -> bool:
        for target in targets:
            if is_nxc(target.image):
                raise InputError(f"role {target.image.role!r}: 'proxmox' does not start images of NixOS Compose")
            if target.image.architecture != ARCHITECTURE:
                raise InputError(
                    f"role {target.image.role!r}: image {target.image.identity} is for {target.image.architecture}, "
                    f"but virtual machines of Proxmox VE are {ARCHITECTURE}"
                )
        self.service.looks.clear()
        by_name = {target.node.name: target for target in targets}
        left = set(by_name)
        staging = self.service.staging

        def act(name: str) -> bool:
            target = by_name[name]
            vm = self.service.machines.take(name, self.option(target.node, "vmid"), self._making(target.node))
            if self.option(target.node, "snapshot") == "vm":
                _require_snapshots(vm)
            done = staging.stage(vm, self._wanted(target.node, target.document, target.document_digest, target.image))
            left.discard(name)
            return done

        with self.progress.waiting(lambda: f"stage: {len(left)} of {len(by_name)} VMs left"):
            return any(self._each(act, sorted(by_name)))

    def _wanted(self, node: Node, document: NodeDocument, digest: str, image: Image | None = None) -> Wanted:
        return Wanted(
            node=node.name,
            image=image,
            document=document,
            document_digest=digest,
            storage=self.service.storage(node),
            method=self.service.method(node),
            volumes=image.volumes if image else {},
            pool=self.option(node, "pool"),
            pattern=self.option(node, "volume") or "",
        )

    def _making(self, node: Node) -> Making:
        values = {
            "memory": self.option(node, "memory"),
            "cores": self.option(node, "cpus"),
            "ostype": "l26",
            "scsihw": "virtio-scsi-single",
            "serial0": "socket",
            **NOT_STARTED,
            "agent": int(self.option(node, "address") == "agent"),
        }
        return Making(
            target_node=self.option(node, "target_node"),
            storages=(self.service.storage(node), self.service.uploads.storage),
            bridges=bridges(self.option(node, "networks")),
            owner=self._owner(node),
            pool=self.option(node, "pool"),
            tags=self.option(node, "tags"),
            values={**values, **self.service.networks(node)},
        )

    def _owner(self, node: Node) -> Owner:
        return Owner.of(self.deployment, node.name, node.role)

    def switch(self, targets: t.Sequence[Target], tell: Tell) -> dict[str, NodeResult]:
        by_name = {target.node.name: target for target in targets}

        def act(name: str) -> NodeResult:
            target = by_name[name]
            node, image = target.node, target.image
            vm = self._must_find(name)
            config = vm.config()
            record = vm.known(config)
            wanted = Boot(
                image=image.identity,
                system=_volume(config, record, image=image.identity),
                document=target.document_digest,
                drive=_volume(config, record, document=target.document_digest),
            )
            wishes = Wishes(
                volumes=image.volumes,
                values=differences(self.service, node, config, record),
                owner=self._owner(node),
                snapshot=self.option(node, "snapshot"),
                command=self.option(node, "snapshot_command") or "",
                command_deadline=self.service.patience.task,
            )
            also = boot(vm, wanted, wishes)
            message = f"VM {vm.vmid} on {vm.node} boots {image.identity}"
            if also:
                message += f"; with that, what waited for its next start took effect: {', '.join(also)}"
            return NodeResult(ok=True, changed=True, message=message)

        return self._per_node("switch", by_name, act, tell)

    def _must_find(self, name: str) -> Vm:
        vm = self.service.find(name)
        if vm is None:
            raise ComposeError("has no VM; run again", node=name)
        return vm

    def _per_node(
        self, step: str, names: t.Iterable[str], act: t.Callable[[str], NodeResult], tell: Tell
    ) -> dict[str, NodeResult]:
        self.service.looks.clear()
        left = set(names)
        self.consoles.begin(left)

        def told(name: str, outcome: NodeResult) -> None:
            left.discard(name)
            tell(name, outcome)

        with self.progress.waiting(lambda: f"{step}: waiting for {listed(sorted(left))}"):
            return per_node(sorted(left), act, told, step=step, parallel=self.service.parallel)

    # -- after the switch ----------------------------------------------------------------------------------------

    def commit(self, nodes: t.Sequence[Node], release: int) -> None:
        client = self.service.cluster.client
        self.service.looks.clear()
        nodes_by_name = {node.name: node for node in nodes}

        def act(name: str) -> None:
            vm = self._must_find(name)
            config = vm.free()
            record = vm.known(config)
            if record.snapshot:
                drop_snapshot(vm, record)
                config = vm.free()
            if record.ha:  # of a run that was killed before it could say so
                ha.come_back(client, vm.vmid, record.ha)
            new = replace(record, verified=record.current, release=release, ha=None, snapshot=None, before={})
            values = power(self.service, nodes_by_name[name], config, new)
            if new != record or values:
                vm.record(config, replace(new, tidy=False), values)

        self._each(act, [node.name for node in nodes])
        wanted = [node for node in nodes if self.option(node, "ha")]
        if wanted:
            groups = {self._must_find(node.name).vmid: self.option(node, "ha_group") for node in wanted}
            ha.manage(client, groups, self.service.cluster.version)

    def revert(self, nodes: t.Sequence[Node], tell: Tell) -> dict[str, NodeResult]:
        def act(name: str) -> NodeResult:
            vm = self.service.find(name)
            record = self.service.machines.record(vm.config(), vm.vmid) if vm else None
            if vm is None or record is None:
                return NodeResult(ok=True, message="has no VM")
            return go_back(vm, record)

        return self._per_node("revert", [node.name for node in nodes], act, tell)

    def refresh(self, node: Node, document: NodeDocument, document_digest: str) -> None:
        vm = self._must_find(node.name)
        self.service.staging.stage(vm, self._wanted(node, document, document_digest))
        config = vm.free()
        record = vm.known(config)
        key = config.with_serial(DOCUMENT_SERIAL)
        if record.current is None or key is None:
            raise ComposeError("cannot take a new document: it was never started", node=node.name)
        drive = _volume(config, record, document=document_digest)
        new = replace(record.current, document=document_digest, drive=drive)
        verified = new if record.verified == record.current else record.verified
        # The drive is on a bus without hot-plugging: the running VM keeps the old one.
        values = {key: f"{drive},serial={DOCUMENT_SERIAL}"}
        vm.record(config, replace(record, current=new, verified=verified, tidy=False), values)

    # -- the end -------------------------------------------------------------------------------------------------

    def remove(self, names: t.Sequence[str], *, data: bool, tell: Tell) -> dict[str, NodeResult]:
        references = self._references()

        def act(name: str) -> NodeResult:
            vm = self.service.find(name)
            config = vm.config() if vm else None
            record = self.service.machines.record(config, vm.vmid) if vm and config else None
            if vm is None or config is None or record is None:
                return NodeResult(ok=True)
            staged = record.current is None and not data_volumes(config, record)
            changed = self.service.machines.let_go(vm, references, data=data)
            self.consoles.forget(name)
            if staged:
                self.progress.say(
                    f"remove {name}: it was only staged: VM {vm.vmid} never ran an image of this deployment"
                )
            return NodeResult(ok=True, changed=changed, message="was only staged" if staged else "")

        return self._per_node("remove", names, act, tell)

    def _references(self) -> References:
        return References(self.service.cluster, self.service.patience, self.service.parallel)

    def prune(self, keep: t.Collection[str]) -> None:
        off = self.service.cluster.off()
        if off:
            self.progress.say(f"prune: nothing is removed as long as {', '.join(off)} is off: VMs there may use it")
            return
        vms = self.service.machines.names()
        references = self._references()
        machines = self.service.machines
        # The records say last that nothing is left: a run that is killed before, or fails, is finished by the next.
        names = sorted(vms)
        records = self._each(
            lambda name: drop_volumes(machines.at(vms[name].vmid), keep, references, self.progress), names
        )
        left = self._prune_shared(keep)
        for words in left:
            self.progress.say(f"prune: {words}")
        if not left:
            tidy = {name: record for name, record in zip(names, records) if record is not None}
            self._each(lambda name: machines.at(vms[name].vmid).rewrite(tidy[name]), list(tidy))

    def _prune_shared(self, keep: t.Collection[str]) -> list[str]:
        """Remove templates and uploads; what has to be tried again, in words."""
        return self.service.templates.prune(keep, self.progress) + self.service.uploads.prune(keep)

    def shares(self) -> list[str]:
        templates = [f"VM {found.vmid}, which is not a node" for found in self.service.templates.found()]
        return [*templates, *(f"file {name} of {node}" for node, name in self.service.uploads.found())]

    def teardown(self) -> None:
        left = self._prune_shared(())
        if left:
            raise ComposeError(f"run again: {'; '.join(left)}")


def _volume(config: Config, record: Record, *, image: str | None = None, document: str | None = None) -> str:
    """The volume that was staged with an image or a document, preferably one that is still with the VM."""
    for volume, content in sorted(record.volumes.items(), key=lambda item: item[0] not in config.volumes()):
        if (image and content.image == image) or (document and content.document == document):
            return volume
    what = "image" if image else "node document"
    raise ComposeError(f"the {what} is not staged any more; run again", node=record.node)


def _require_snapshots(vm: Vm) -> None:
    if not vm.ask(Feature, "/feature", feature="snapshot").hasFeature:
        raise InputError(f"VM {vm.vmid} has a disk that cannot be snapshotted; set snapshot to none or node-command")
