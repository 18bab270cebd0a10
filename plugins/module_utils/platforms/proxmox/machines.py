# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VM of Proxmox VE is which node: found by tag or number, made, adopted, let go. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ...describe.ownership import DataVolume, Owner
from ...errors import ComposeError, InputError
from .cluster import Cluster, Resource
from .config import Config
from .pruning import References
from .record import Record, deployment_tag, foreign_tags, node_tag, tags_of, without_record
from .staging import empty_slots
from .storage import Storage
from .switching import NOT_STARTED
from .templates import create
from .vm import Patience, Vm


@dataclass(frozen=True)
class Making:
    """How a VM is made that does not exist yet."""

    #: Node of the cluster; ``None``: of those with these storages the one with the fewest VMs.
    target_node: str | None
    storages: t.Sequence[Storage]
    bridges: t.Collection[str]
    pool: str | None
    tags: t.Collection[str]
    #: Whose its data will be.
    owner: Owner
    #: Further values of its configuration.
    values: t.Mapping[str, t.Any]


class Machines:
    """The VMs of a deployment."""

    def __init__(self, cluster: Cluster, deployment: str, patience: Patience) -> None:
        self.cluster = cluster
        self.deployment = deployment
        self.patience = patience

    def names(self) -> dict[str, Resource]:
        """Node → VM, for all that have the tag of a node of this deployment.

        :raises ComposeError: two VMs have the same: somebody made a copy.
        """
        prefix = f"{deployment_tag(self.deployment)}."
        found: dict[str, Resource] = {}
        for vm in self.cluster.tagged(deployment_tag(self.deployment)):
            for tag in vm.tags:
                if not tag.startswith(prefix) or vm.template:
                    continue
                name = tag[len(prefix) :]
                if name in found:
                    raise ComposeError(
                        f"VMs {found[name].vmid} and {vm.vmid} both have the tag {tag}: take it off the copy",
                        node=name,
                    )
                found[name] = vm
        return found

    def find(self, name: str, vmid: int | None) -> Vm | None:
        """The VM of a node, by its tag, else by the number that the deployment file gives."""
        tagged = self.names().get(name)
        if tagged is not None:
            if vmid is not None and tagged.vmid != vmid:
                raise InputError(
                    f"vmid of node {name!r} is {vmid}, but VM {tagged.vmid} is that node; take the tag "
                    f"{node_tag(self.deployment, name)} off it if it is no longer to be"
                )
            return self.at(tagged.vmid)
        tag = node_tag(self.deployment, name)
        for found in self.cluster.tagged(tag):
            raise InputError(f"VM {found.vmid}, a template, has the tag {tag}: it cannot be a node", node=name)
        return self.at(vmid) if vmid is not None and vmid in self.cluster.vms() else None

    def lost(self, name: str) -> int | None:
        """A VM that is a node by its name and its record, but has no tag any more."""
        for vm in self.cluster.vms().values():
            if vm.name == name and vm.node not in self.cluster.off():
                record = Record.read(self.at(vm.vmid).config().get("description"), f"description of VM {vm.vmid}")
                if record and (record.deployment, record.node) == (self.deployment, name):
                    return vm.vmid
        return None

    def at(self, vmid: int) -> Vm:
        """The VM with a number."""
        return Vm(self.cluster, vmid, self.patience)

    def record(self, config: Config, vmid: int) -> Record | None:
        """The record of a VM.

        :raises ComposeError: it belongs to another deployment.
        """
        record = Record.read(config.get("description"), f"description of VM {vmid}")
        if record is not None and record.deployment != self.deployment:
            raise ComposeError(f"VM {vmid} is node {record.node!r} of the deployment {record.deployment!r}")
        return record

    def take(self, name: str, vmid: int | None, making: Making) -> Vm:
        """The VM of a node, with a record: made, or adopted, where there is none."""
        vm = self.find(name, vmid)
        if vm is None:
            return self._make(name, vmid, making)
        config = vm.free()
        if config.get("template") == "1":
            raise InputError(f"VM {vm.vmid} is a template, which cannot be a node", node=name)
        record = self.record(config, vm.vmid)
        if record is None or record.node != name:
            vm.record(config, replace(self._new(making, created=False), was_off=not vm.is_running()))
            self.cluster.add(vm.vmid, vm.node, {*tags_of(config.get("tags")), *self._tags(name)})
        return vm

    def _make(self, name: str, vmid: int | None, making: Making) -> Vm:
        record = self._new(making, created=True)
        tags = {*self._tags(name), *making.tags}
        values = {"name": name, "description": record.into(""), "tags": ";".join(sorted(tags)), "pool": making.pool}
        given = {**making.values, **values}
        number, upid = create(
            self.cluster,
            "/nodes/{node}/qemu",
            "vmid",
            given,
            tags=tags,
            node=making.target_node,
            seconds=self.patience.task,
            number=vmid,
            storages=making.storages,
            bridges=making.bridges,
        )
        vm = self.at(number)
        vm.done(upid, "making")
        return vm

    @staticmethod
    def _new(making: Making, *, created: bool) -> Record:
        owner = making.owner
        return Record(owner.deployment, owner.node, created, owner.composition, owner.role)

    def _tags(self, name: str) -> set[str]:
        return {deployment_tag(self.deployment), node_tag(self.deployment, name)}

    def let_go(self, vm: Vm, references: References, *, data: bool) -> bool:
        """A VM is a node no more: it is destroyed, if it was made for the node and no data stay; whether it was one.

        Else it stays with its data, and with the disk it booted before it was adopted: switched off, unless it runs
        that one.

        :raises ComposeError: it is protected, or another VM uses a disk that would be destroyed.
        """
        config = vm.free()
        record = self.record(config, vm.vmid)
        if record is None:
            return False
        if config.get("protection") == "1":
            raise ComposeError(f"VM {vm.vmid} is protected: take its protection off first")
        for volume in sorted(config.volumes() if record.created and data else record.volumes):
            for other in sorted(references.others(volume, vm.vmid)):
                raise ComposeError(f"VM {other} uses {volume}, too: take it out there first")
        running = (record.created or record.current is not None) and vm.stop()
        config = vm.free()
        record = vm.known(config)
        if empty_slots(vm, config, record):  # of a run that was killed
            config = vm.free()
            record = vm.known(config)
        disks = {drive.volume for drive in config.drives.values() if drive.is_disk}
        kept = {*disks, *config.unused} - set(record.volumes)
        if record.created and (data or not kept):
            vm.task("DELETE", "", "removal", **{"purge": 1, "destroy-unreferenced-disks": int(data)})
            self.cluster.forget(vm.vmid)
            return True
        if record.created and not record.current and not record.volumes:
            return running
        self._empty(vm, config, record)
        return True

    def _empty(self, vm: Vm, config: Config, record: Record) -> None:
        """Take this collection's disks out of a VM, and destroy them."""
        ours = [key for key, drive in config.drives.items() if drive.volume in record.volumes]
        back = {record.original[0]: record.original[1]} if record.original else {}
        out = [key for key in ours if key not in back]
        changes = {**back, **(NOT_STARTED if record.created else {}), **({"delete": ",".join(out)} if out else {})}
        vm.record(config, replace(record, current=None, verified=None, tidy=False), changes)
        config = vm.config()
        superfluous = [key for volume, key in config.unused.items() if volume in record.volumes]
        if superfluous:
            vm.task("POST", "/config", "removal of volumes", digest=config.digest, delete=",".join(superfluous))
            config = vm.config()
        if record.created:  # its data wait for a node of that name
            vm.record(config, replace(record, current=None, verified=None, volumes={}, tidy=True))
        else:
            description = without_record(config.get("description"))
            values = {"description": description, "tags": foreign_tags(tags_of(config.get("tags")))}
            vm.change(config, values)
            self.cluster.vms(anew=True)


def is_shell(record: Record) -> bool:
    """The VM is no node now: it has only what a former node of that name left."""
    return record.created and record.current is None


def is_leftover(config: Config, record: Record) -> bool:
    """A shell has something that a killed run, or one that only staged, has left, or nothing at all to be kept for."""
    disks = {drive.volume for drive in config.drives.values() if drive.is_disk} | set(config.unused)
    return not record.tidy or disks <= set(record.volumes)


def data_volumes(config: Config, record: Record) -> list[DataVolume]:
    """What :meth:`Machines.let_go` destroys with the data of a VM; nothing of one that is older than its node."""
    if not record.created:
        return []
    places = {drive.volume: drive.serial or key for key, drive in config.drives.items() if drive.is_disk}
    places.update(config.unused)
    owner = record.owner
    return [DataVolume(name, place, owner) for place, name in sorted(places.items()) if place not in record.volumes]


def described(vm: Vm, config: Config, state: str) -> str:
    """A VM that somebody else made, for people who decide whether a node may take it over."""
    return f'VM {vm.vmid} "{config.get("name")}" on {vm.node} ({state}, not of this deployment)'
