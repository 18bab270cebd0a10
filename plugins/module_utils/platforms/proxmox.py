# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platform ``proxmox``: nodes are VMs of a Proxmox VE cluster. PRIVATE to the collection.

What is here maps the platform's steps to the room ``module_utils/proxmox``, which does the work.
"""

from __future__ import annotations

import hashlib
import ipaddress
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ..composition.model import Deployment, Node
from ..errors import ComposeError, InputError
from ..progress import Progress
from ..proxmox import ha, privileges
from ..proxmox.client import Access, Client
from ..proxmox.cluster import Cluster
from ..proxmox.config import Config
from ..proxmox.config_drive import config_drive
from ..proxmox.machines import Machines, Making, is_shell
from ..proxmox.options import OPTIONS
from ..proxmox.pruning import References, prune_vm
from ..proxmox.record import DOCUMENT_SERIAL, Boot, Record
from ..proxmox.staging import Staging, Wanted
from ..proxmox.switching import NOTHING_ELSE, Wishes, boot, boot_original, drop_snapshot
from ..proxmox.templates import Templates
from ..proxmox.uploads import Uploads
from ..proxmox.vm import Patience, Vm
from ..ssh.endpoint import Endpoint
from .base import Observation, Outcome, Platform, Target, Tell, per_node

T = t.TypeVar("T")


class Proxmox(Platform):
    """Virtual machines of a cluster, found by tag or number, or made."""

    name = "proxmox"
    formats = ("qcow2",)
    environment: t.ClassVar = {
        "host": "PROXMOX_HOST",
        "user": "PROXMOX_USER",
        "password": "PROXMOX_PASSWORD",
        "token_id": "PROXMOX_TOKEN_ID",
        "token_secret": "PROXMOX_TOKEN_SECRET",
        "ca_file": "PROXMOX_CA_FILE",
        "fingerprint": "PROXMOX_FINGERPRINT",
    }
    public_credentials: t.ClassVar = ("host", "user", "token_id", "ca_file", "fingerprint")
    host_variables: t.ClassVar = {"vmid": "proxmox_vmid"}
    options: t.ClassVar = OPTIONS

    def __init__(self, deployment: Deployment, progress: Progress) -> None:
        super().__init__(deployment, progress)
        self.parallel: int = self._shared("parallel")
        self.patience = Patience(
            shutdown=self._shared("shutdown_timeout"),
            task=self._shared("task_timeout"),
            lock=self._shared("lock_timeout"),
        )
        self._cluster: Cluster | None = None
        self._uploads: Uploads | None = None
        self._macs: dict[str, str] = {}

    def _shared(self, name: str) -> t.Any:
        """An option of the whole deployment."""
        nodes = self.deployment.nodes
        return self.option(nodes[0], name) if nodes else self.options[name].default

    # -- what is there -------------------------------------------------------------------------------------------

    @property
    def cluster(self) -> Cluster:
        """The cluster; nothing is called before it is needed."""
        if self._cluster is None:
            told = dict(self.deployment.credentials)
            for key in self.environment:
                if key in self.options and self._shared(key) is not None:
                    told[key] = self._shared(key)
            access = Access.at(told.pop("host", ""), port=self._shared("port"), **told)
            self._cluster = Cluster(Client(access, self.parallel))
        return self._cluster

    @property
    def machines(self) -> Machines:
        """The deployment's VMs."""
        return Machines(self.cluster, self.deployment.name, self.patience)

    @property
    def uploads(self) -> Uploads:
        """The storage for images."""
        if self._uploads is None:
            storage = self.cluster.importing(self._shared("import_storage"))
            self._uploads = Uploads(self.cluster, storage, self.deployment.name, self.patience.task, self.progress)
        return self._uploads

    @property
    def _templates(self) -> Templates:
        return Templates(self.cluster, self.uploads, self.deployment.name, self.patience)

    def _method(self, node: Node) -> str:
        method: str = self.option(node, "staging")
        if method != "auto":
            return method
        return "clone" if self.cluster.storage(self.option(node, "storage")).clones else "import"

    def _find(self, name: str) -> Vm | None:
        options = {node.name: node for node in self.deployment.nodes}
        return self.machines.find(name, self.option(options[name], "vmid") if name in options else None)

    def interfaces(self, node: Node) -> list[dict[str, t.Any]]:
        match = {"mac": self._mac(node)}
        if self.option(node, "address") == "agent":
            return [{"match": match, "dhcp": True}]
        length = ipaddress.IPv4Network(self.deployment.network).prefixlen
        gateway = self.option(node, "gateway")
        return [{"match": match, "address": f"{node.address}/{length}", **({"gateway": gateway} if gateway else {})}]

    def _mac(self, node: Node) -> str:
        """Address of the first interface: of a VM that is made it follows from the names, else it is asked for."""
        digest = hashlib.sha256(f"{self.deployment.name}/{node.name}".encode()).digest()
        made = "52:54:" + ":".join(f"{byte:02x}" for byte in digest[:4])
        if self.option(node, "vmid") is None:
            return made
        if node.name not in self._macs:
            vm = self._find(node.name)
            self._macs[node.name] = (vm.config().mac if vm else None) or made
        return self._macs[node.name]

    def endpoint(self, node: Node) -> Endpoint:
        if self.option(node, "address") == "given":
            return Endpoint(str(node.address))
        vm = self._find(node.name)
        told = vm.call("GET", "/agent/network-get-interfaces")["result"] if vm else []
        for interface in told:
            for address in interface.get("ip-addresses", []):
                if address["ip-address-type"] == "ipv4" and not address["ip-address"].startswith("127."):
                    return Endpoint(str(address["ip-address"]))
        raise ComposeError("the guest agent tells no address", node=node.name)

    def console(self, node: Node, lines: int = 50) -> str:
        """The API has none that could be read later."""
        return ""

    # -- before anything is touched ------------------------------------------------------------------------------

    def check(self, nodes: t.Sequence[Node]) -> None:
        self._check_options(nodes)
        self.cluster.check()
        needed = privileges.Privileges(self.cluster.client)
        uploads = self.uploads.storage
        needed.need(f"/storage/{uploads.name}", privileges.UPLOADS)
        for node in nodes:
            storage = self.cluster.storage(self.option(node, "storage"))
            needed.need(f"/storage/{storage.name}", privileges.DISKS)
            vm = self._find(node.name)
            if vm is None:
                pool = self.option(node, "pool")
                needed.need(f"/pool/{pool}" if pool else "/vms", privileges.MAKING)
                for network in self.option(node, "networks"):
                    options = dict(part.partition("=")[::2] for part in network.split(","))
                    path = [options.get("bridge", ""), *([options["tag"]] if "tag" in options else [])]
                    needed.need(f"/sdn/zones/localnetwork/{'/'.join(path)}", privileges.NETWORK)
                continue
            if self.cluster.offline(vm.node):
                raise ComposeError(f"VM {vm.vmid} is on {vm.node}, which is off", node=node.name)
            for place in (storage, uploads):
                if not place.on(vm.node):
                    raise InputError(
                        f"VM {vm.vmid} is on {vm.node}, which has no storage {place.name!r}", node=node.name
                    )
            more: tuple[str, ...] = privileges.SNAPSHOT if self.option(node, "snapshot") == "vm" else ()
            more += privileges.CLONING if self._method(node) == "clone" else ()
            needed.need(f"/vms/{vm.vmid}", (*privileges.VM, *more))
        if any(self.option(node, "ha") for node in nodes):
            needed.need("/", privileges.HA)
        needed.refuse()

    def _check_options(self, nodes: t.Sequence[Node]) -> None:
        numbers: dict[int, str] = {}
        for node in nodes:
            for name, when in (
                ("storage", ""),
                ("volume", "staging=volume"),
                ("snapshot_command", "snapshot=node-command"),
            ):
                option, _equals, value = when.partition("=")
                if self.option(node, name) is None and (not when or self.option(node, option) == value):
                    raise InputError(f"node {node.name!r} has no {name}" + (f", which {when} needs" if when else ""))
            if node.address is None and self.option(node, "address") == "given":
                raise InputError(f"node {node.name!r} has no address on {self.deployment.network}")
            vmid = self.option(node, "vmid")
            if vmid is not None and numbers.setdefault(vmid, node.name) != node.name:
                raise InputError(f"nodes {numbers[vmid]!r} and {node.name!r} have the same vmid {vmid}")

    def observe(self, nodes: t.Sequence[Node]) -> dict[str, Observation]:
        members = {node.name: node for node in nodes}
        names = sorted({*members, *self.machines.names()})
        return dict(zip(names, self._each(lambda name: self._observe(name, members.get(name)), names)))

    def _observe(self, name: str, node: Node | None) -> Observation:
        vm = self._find(name)
        if vm is None:
            return Observation("absent")
        config = vm.config()
        record = self.machines.record(config, vm.vmid)
        if record is not None and is_shell(record):
            return Observation("absent")
        state = "running" if vm.is_running() else "stopped"
        if record is None or record.current is None:
            return Observation(state)
        drive = config.boot_drive
        key = config.with_serial(DOCUMENT_SERIAL)
        current = record.current
        return Observation(
            state,
            current.image if drive and drive.volume == current.system else None,
            current.document if key and config.drives[key].volume == current.drive else None,
            record.verified.image if record.verified else None,
            tuple(
                f"{key} {config.get(key)} → {value}" for key, value in self._differences(node, config, record).items()
            ),
            leftovers=not record.tidy,
        )

    def _differences(self, node: Node | None, config: Config, record: Record | None) -> dict[str, str]:
        """Values of the configuration that are to be others: of VMs that were made, or where the file names them."""
        if node is None:
            return {}
        wanted = {}
        for option, key in (("memory", "memory"), ("cpus", "cores")):
            if option in node.options or (record is not None and record.created):
                value = str(self.option(node, option))
                if (config.get(key) or {"memory": "512", "cores": "1"}[key]) != value:
                    wanted[key] = value
        return wanted

    def _each(self, act: t.Callable[[str], T], names: t.Sequence[str]) -> list[T]:
        """Act on nodes at the same time; the first error is everybody's."""

        def guarded(name: str) -> T:
            try:
                return act(name)
            except ComposeError as error:
                error.node = error.node or name
                raise

        with ThreadPoolExecutor(max_workers=self.parallel) as pool:
            return list(pool.map(guarded, names))

    # -- stage and switch ----------------------------------------------------------------------------------------

    def stage(self, targets: t.Sequence[Target]) -> bool:
        by_name = {target.node.name: target for target in targets}
        left = set(by_name)

        def act(name: str) -> bool:
            target = by_name[name]
            vm = self.machines.take(name, self.option(target.node, "vmid"), self._making(target.node))
            if self.option(target.node, "snapshot") == "vm":
                _require_snapshots(vm)
            done = self._staging.stage(vm, self._wanted(target.node, target.document, target.document_digest, target))
            left.discard(name)
            return done

        with self.progress.waiting(lambda: f"stage: {len(left)} of {len(by_name)} VMs left"):
            return any(self._each(act, sorted(by_name)))

    @property
    def _staging(self) -> Staging:
        return Staging(self.uploads, self._templates, config_drive)

    def _wanted(self, node: Node, document: t.Mapping[str, t.Any], digest: str, target: Target | None = None) -> Wanted:
        return Wanted(
            node=node.name,
            image=target.image if target else None,
            document=document,
            document_digest=digest,
            storage=self.cluster.storage(self.option(node, "storage")),
            method=self._method(node),
            pattern=self.option(node, "volume") or "",
        )

    def _making(self, node: Node) -> Making:
        networks = {
            f"net{number}": f"virtio={self._mac(node)},{network}" if number == 0 else f"virtio,{network}"
            for number, network in enumerate(self.option(node, "networks"))
        }
        values = {
            "memory": self.option(node, "memory"),
            "cores": self.option(node, "cpus"),
            "ostype": "l26",
            "scsihw": "virtio-scsi-single",
            "serial0": "socket",
            "onboot": int(self.option(node, "onboot")),
            "agent": int(self.option(node, "address") == "agent"),
        }
        place = (self.option(node, "target_node"), self.option(node, "pool"), self.option(node, "tags"))
        return Making(*place, {**values, **networks})

    def switch(self, targets: t.Sequence[Target], tell: Tell) -> dict[str, Outcome]:
        by_name = {target.node.name: target for target in targets}

        def act(name: str) -> Outcome:
            target = by_name[name]
            node, image = target.node, target.image
            vm = self._must_find(name)
            config = vm.config()
            record = vm.known(config)
            wanted = Boot(
                image=image.identity,
                system=_volume(record, name, image=image.identity),
                document=target.document_digest,
                drive=_volume(record, name, document=target.document_digest),
            )
            wishes = Wishes(
                volumes=image.volumes,
                storage=self.cluster.storage(self.option(node, "storage")),
                values=self._differences(node, config, record),
                snapshot=self.option(node, "snapshot"),
                command=self.option(node, "snapshot_command") or "",
                command_deadline=self.patience.task,
            )
            boot(vm, wanted, wishes)
            return Outcome(ok=True, changed=True, message=f"VM {vm.vmid} on {vm.node} boots {image.identity}")

        return self._per_node("switch", by_name, act, tell)

    def _must_find(self, name: str) -> Vm:
        vm = self._find(name)
        if vm is None:
            raise ComposeError("has no VM; run again", node=name)
        return vm

    def _per_node(
        self, step: str, names: t.Iterable[str], act: t.Callable[[str], Outcome], tell: Tell
    ) -> dict[str, Outcome]:
        left = set(names)

        def told(name: str, outcome: Outcome) -> None:
            left.discard(name)
            tell(name, outcome)

        with self.progress.waiting(lambda: f"{step}: waiting for {', '.join(sorted(left))}"):
            return per_node(sorted(left), act, told, step=step, parallel=self.parallel)

    # -- after the switch ----------------------------------------------------------------------------------------

    def commit(self, nodes: t.Sequence[Node], release: int) -> None:
        by_name = {node.name: node for node in nodes}
        managed: t.Collection[int] = ()
        if any(self.option(node, "ha") for node in nodes):
            managed = ha.states(self.cluster.client)

        def act(name: str) -> None:
            vm = self._must_find(name)
            config = vm.free()
            record = vm.known(config)
            if record.snapshot:
                drop_snapshot(vm, record)
                config = vm.free()
            if self.option(by_name[name], "ha") and vm.vmid not in managed:
                ha.manage(self.cluster.client, vm.vmid, self.option(by_name[name], "ha_group"))
            new = replace(record, verified=record.current, release=release, ha=None, snapshot=None)
            if new != record:
                vm.record(config, replace(new, tidy=False))

        self._each(act, sorted(by_name))

    def revert(self, nodes: t.Sequence[Node], tell: Tell) -> dict[str, Outcome]:
        def act(name: str) -> Outcome:
            vm = self._find(name)
            record = self.machines.record(vm.config(), vm.vmid) if vm else None
            if vm is None or record is None:
                return Outcome(ok=True, message="has no VM")
            if record.verified is None:
                return self._take_back(vm, record)
            if record.current == record.verified and self._runs(vm, record.verified):
                return Outcome(ok=True, message=f"runs its verified image {record.verified.image}")
            boot(vm, record.verified, NOTHING_ELSE)
            return Outcome(ok=True, changed=True, message=f"VM {vm.vmid} boots {record.verified.image} again")

        return self._per_node("revert", [node.name for node in nodes], act, tell)

    def _take_back(self, vm: Vm, record: Record) -> Outcome:
        """A VM that never had a verified image."""
        if record.current is None:  # it was never switched
            return Outcome(ok=True, message="was left as it was")
        if record.original is not None:
            boot_original(vm)
            return Outcome(ok=True, changed=True, message=f"VM {vm.vmid} boots the disk that it had before")
        stopped = vm.stop()
        return Outcome(ok=True, changed=stopped, message="has no verified image to go back to: stopped")

    def _runs(self, vm: Vm, wanted: Boot) -> bool:
        config = vm.config()
        drive, key = config.boot_drive, config.with_serial(DOCUMENT_SERIAL)
        there = drive is not None and drive.volume == wanted.system
        return there and key is not None and config.drives[key].volume == wanted.drive and vm.is_running()

    def refresh(self, node: Node, document: t.Mapping[str, t.Any], document_digest: str) -> None:
        vm = self._must_find(node.name)
        self._staging.stage(vm, self._wanted(node, document, document_digest))
        config = vm.free()
        record = vm.known(config)
        key = config.with_serial(DOCUMENT_SERIAL)
        if record.current is None or key is None:
            raise ComposeError("cannot take a new document: it was never started", node=node.name)
        drive = _volume(record, node.name, document=document_digest)
        new = replace(record.current, document=document_digest, drive=drive)
        verified = new if record.verified == record.current else record.verified
        # The drive is on a bus without hot-plugging: the running VM keeps the old one.
        values = {key: f"{drive},serial={DOCUMENT_SERIAL}"}
        vm.record(config, replace(record, current=new, verified=verified, tidy=False), values)

    # -- the end -------------------------------------------------------------------------------------------------

    def remove(self, names: t.Sequence[str], *, data: bool, tell: Tell) -> dict[str, Outcome]:
        def act(name: str) -> Outcome:
            vm = self._find(name)
            return Outcome(ok=True, changed=vm is not None and self.machines.let_go(vm, data=data))

        return self._per_node("remove", names, act, tell)

    def prune(self, keep: t.Collection[str]) -> None:
        vms = self.machines.names()
        references = References(self.cluster, self.patience, self.parallel)
        machines = self.machines
        self._each(lambda name: prune_vm(machines.at(vms[name].vmid), keep, references, self.progress), sorted(vms))
        for words in self._templates.prune(keep):
            self.progress.say(f"prune: {words}")
        self.uploads.prune(keep)

    def teardown(self) -> None:
        for words in self._templates.prune(()):
            self.progress.say(f"teardown: {words}")
        self.uploads.prune(())


def _volume(record: Record, node: str, *, image: str | None = None, document: str | None = None) -> str:
    """The volume that was staged with an image or a document."""
    for volume, content in record.volumes.items():
        if (image and content.image == image) or (document and content.document == document):
            return volume
    raise ComposeError(f"the {'image' if image else 'node document'} is not staged any more; run again", node=node)


def _require_snapshots(vm: Vm) -> None:
    if not vm.call("GET", "/feature", feature="snapshot")["hasFeature"]:
        raise InputError(f"VM {vm.vmid} has a disk that cannot be snapshotted; set snapshot to none or node-command")
