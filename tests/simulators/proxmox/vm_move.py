"""Disks move to another storage or to another VM, and grow."""

from __future__ import annotations

import contextlib
import re
import typing as t

from .calls import Call, answers
from .drives import (
    Drive,
    boot_order,
    is_cdrom,
    is_cloudinit,
    is_drive,
    parse_drive,
    print_boot_order,
    print_drive,
    storage_of,
)
from .errors import MODIFIED, ApiError, parameter_error
from .formats import UNITS
from .tasks import say
from .vm_disks import copy_disk, in_use
from .vm_update import update_now
from .vmconfig import VmConfig

if t.TYPE_CHECKING:
    from .cluster import Cluster


@answers("POST /nodes/{node}/qemu/{vmid}/move_disk")
def move_disk(cluster: Cluster, call: Call) -> str:
    """Moves a disk to another storage or format, or gives it to another VM."""
    target, storage = call.number("target-vmid"), call.get("storage")
    if target and storage:
        told = "either set 'storage' or 'target-vmid', but not both"
        raise parameter_error({"target-vmid": told, "storage": told})
    if target:
        cluster.access.check_vm(call.user, target, ["VM.Config.Disk"])
        if target == call.vmid:
            raise parameter_error({"target-vmid": "must be different than source VMID to reassign disk"})
        give = _Give(cluster, call, target)
        drive = give.check()[2]
        cluster.access.check(call.user, f"/storage/{drive['file'].partition(':')[0]}", ["Datastore.AllocateSpace"])
        identifier = f"{call.vmid}-{give.disk}>{target}-{give.target_disk}"
        return cluster.fork(call, "qmmove", identifier, give.run)
    if not storage:
        told = "both 'storage' and 'target-vmid' missing, either needs to be set"
        raise parameter_error({"target-vmid": told, "storage": told})
    cluster.access.check(call.user, f"/storage/{storage}", ["Datastore.AllocateSpace"])
    _check_move(cluster, call, storage)

    def work() -> None:
        with cluster.locks.config(call.vmid):
            _move(cluster, call, storage)

    return cluster.fork(call, "qmmove", call.vmid, work)


def _check_move(cluster: Cluster, call: Call, storage: str) -> tuple[VmConfig, Drive, str]:
    config, disk = cluster.load(call), str(call.get("disk"))
    config.check_lock()
    if call.get("digest") and call.get("digest") != config.digest:
        raise ApiError(MODIFIED)
    if not config.values.get(disk):
        raise ApiError(f"disk '{disk}' does not exist")
    drive = parse_drive(disk, str(config.values[disk]))
    if drive is None:
        raise ApiError(f"disk '{disk}' has no associated volume")
    if is_cdrom(drive, but_cloudinit=True):
        raise ApiError("you can't move a cdrom")
    old = cluster.volumes.find(call.node, drive["file"])[0].name
    old_format = cluster.volumes.parse(call.node, drive["file"]).format
    if old == storage and call.get("format") in (None, old_format):
        raise ApiError("you can't move to the same storage with same format")
    if "images" not in cluster.volumes.enabled(call.node, storage).content:
        raise parameter_error({"storage": f"storage '{storage}' does not support vm images"})
    snapshotted = in_use(config, disk, drive["file"])
    if snapshotted and call.flag("delete"):
        raise ApiError("you can't move a disk with snapshots and delete the source")
    if snapshotted:
        say("moving disk with snapshots, snapshots will not be moved!")
    return config, drive, old


def _move(cluster: Cluster, call: Call, storage: str) -> None:
    config, drive, old = _check_move(cluster, call, storage)
    disk, source, new = str(call.get("disk")), drive["file"], list[str]()
    say(f"copying volume '{source}' from current storage '{old}' to target storage '{storage}'")
    try:
        cluster.volumes.activate(call.node, source)
        limit = call.number("bwlimit")
        moved = copy_disk(
            cluster, call.node, drive, call.vmid, storage, call.get("format"), new, name=disk, kind="move", limit=limit
        )
        if disk.startswith("unused"):
            moved.pop("size", None)
        config.values[disk] = print_drive(moved)
        if not call.flag("delete") and is_cloudinit(drive):
            say(f"found unused cloudinit disk '{source}', removing it")
            cluster.volumes.free(call.node, source)
        elif not call.flag("delete"):
            key = config.add_unused(source)
            say(f"adding source volume '{source}' as '{key}' to config")
        if config.is_template:
            config.values[disk] = print_drive({**moved, "file": cluster.volumes.make_base(call.node, moved["file"])})
        cluster.files.write(call.node, call.vmid, config)
    except ApiError as error:
        for volume in new:
            with contextlib.suppress(ApiError):
                cluster.volumes.free(call.node, volume)
        raise ApiError(f"storage migration failed: {error}") from None
    if call.flag("delete"):
        say(f"removing source volume '{source}' after successful copy")
        try:
            cluster.volumes.free(call.node, source)
        except ApiError as error:
            say(str(error))


class _Give:
    """A disk is given to another VM: its volume is renamed."""

    def __init__(self, cluster: Cluster, call: Call, target: int) -> None:
        self.cluster, self.call, self.target = cluster, call, target
        self.disk = str(call.get("disk"))
        self.target_disk = call.get("target-disk") or self.disk
        self.source, self.node = call.vmid, call.node
        self.digests = call.get("digest"), call.get("target-digest")

    def check(self) -> tuple[VmConfig, VmConfig, Drive]:
        """Both configurations and the drive as the other VM gets it; dies where that is not possible."""
        found = self.cluster.files.find()
        if self.source not in found:
            raise ApiError(f"could not find VM {self.source}")
        if self.target not in found:
            raise ApiError(f"could not find target VM {self.target}")
        nodes = found[self.source], found[self.target]
        if nodes[0] != nodes[1]:
            raise ApiError(f"Both VMs need to be on the same node ({nodes[0]} != {nodes[1]})")
        source = self.cluster.files.load(self.node, self.source)
        source.check_lock()
        target = self.cluster.files.load(self.node, self.target)
        target.check_lock()
        if source.is_template or target.is_template:
            raise ApiError("Can't move disks from or to template VMs")
        for vmid, config, digest in zip((self.source, self.target), (source, target), self.digests, strict=True):
            if digest and digest != config.digest:
                raise ApiError(f"VM {vmid}: {MODIFIED}")
        if source.values.get(self.disk) is None:
            raise ApiError(f"Disk '{self.disk}' for VM '{self.source}' does not exist")
        if target.values.get(self.target_disk):
            raise ApiError(f"Target disk key '{self.target_disk}' is already in use for VM '{self.target}'")
        return source, target, self._drive(source)

    def _drive(self, source: VmConfig) -> Drive:
        text = str(source.values[self.disk])
        drive = parse_drive(self.disk, text)
        if drive is None:
            raise ApiError("failed to parse source disk - ")
        volume = drive["file"]
        if is_cdrom(drive, but_cloudinit=True):
            raise ApiError("CD drive contents can't be moved to another VM")
        if storage_of(volume) is None:
            raise ApiError(f"Volume '{volume}' not managed by PVE")
        if in_use(source, self.disk, volume):
            raise ApiError("Can't move disk used by a snapshot to another VM")
        if not self.cluster.volumes.feature(self.node, "rename", volume):
            raise ApiError("Storage does not support moving of this disk to another VM")
        if self.cluster.guests.running(self.source) and not self.disk.startswith("unused"):
            raise ApiError("Cannot move disk to another VM while the source VM is running - detach first")
        target = parse_drive(self.target_disk, volume if self.target_disk.startswith("unused") else text)
        if target is None:
            raise ApiError("failed to parse source disk for target disk format - ")
        return target

    def run(self) -> None:
        """Gives the disk away."""
        with self.cluster.locks.config(self.source), self.cluster.locks.config(self.target):
            source, target, drive = self.check()
            say(f"reassign disk '{self.disk}' from VM '{self.source}' as '{self.target_disk}' to VM '{self.target}'")
            drive["file"] = self.cluster.volumes.rename(self.node, drive["file"], self.target)
            order = boot_order(source.values.get("boot"))
            if self.disk in order:
                say(f"removing disk '{self.disk}' from boot order config")
                order.remove(self.disk)
                source.values["boot"] = print_boot_order(order)
            del source.values[self.disk]
            say(f"removing disk '{self.disk}' from VM '{self.source}' config")
            self.cluster.files.write(self.node, self.source, source)
            text = print_drive(drive)
            if is_drive(self.target_disk):
                call = Call(self.call.user, {"node": self.node, "vmid": self.target})
                parameters = {"digest": self.digests[1], self.target_disk: text}
                update_now(self.cluster, call, self.target, parameters)
            else:
                target.values[self.target_disk] = text
                self.cluster.files.write(self.node, self.target, target)


@answers("PUT /nodes/{node}/qemu/{vmid}/resize")
def resize(cluster: Cluster, call: Call) -> str:
    """Makes a disk larger, in a task."""
    if call.flag("skiplock") and call.user != "root@pam":
        raise parameter_error({"skiplock": "Only root may use this option."})

    def work() -> None:
        with cluster.locks.config(call.vmid):
            _resize(cluster, call)

    return cluster.fork(call, "resize", call.vmid, work)


def _resize(cluster: Cluster, call: Call) -> None:
    config, disk = cluster.load(call), str(call.get("disk"))
    if call.get("digest") and call.get("digest") != config.digest:
        raise ApiError("checksum mismatch (file change by other user?)")
    if not call.flag("skiplock"):
        config.check_lock()
    if not config.values.get(disk):
        raise ApiError(f"disk '{disk}' does not exist")
    drive = parse_drive(disk, str(config.values[disk])) or {"file": ""}
    volume = cluster.volumes.parse(call.node, drive["file"])
    if is_cdrom(drive):
        raise ApiError("you can't resize a cdrom")
    storage = cluster.volumes.find(call.node, drive["file"])[0].name
    cluster.access.check(call.user, f"/storage/{storage}", ["Datastore.AllocateSpace"])
    cluster.volumes.activate(call.node, drive["file"])
    info = cluster.volumes.info(call.node, drive["file"])
    match = re.fullmatch(r"(\+)?(\d+(?:\.\d+)?)([KMGT])?", str(call.get("size")))
    if info is None or match is None:
        raise ApiError(f"Could not determine current size of volume '{drive['file']}'")
    size = int(float(match[2]) * UNITS[match[3] or ""]) + (info.size if match[1] else 0)
    if size < info.size:
        raise ApiError("shrinking disks is not supported")
    if size > info.size and volume.format not in ("raw", "qcow2"):
        raise ApiError("can't resize this image format")
    if size > info.size:
        if not cluster.guests.on_disk(call.vmid, drive["file"], "block_resize", {"size": size}):
            cluster.volumes.resize(call.node, drive["file"], size)
        config.values[disk] = print_drive({**drive, "size": size})
        cluster.files.write(call.node, call.vmid, config)
