"""Disks of VMs: made, imported, copied, detached, destroyed."""

from __future__ import annotations

import contextlib
import math
import typing as t

from . import images
from .calls import Call
from .drives import NEW_DISK, Drive, is_cdrom, is_cloudinit, is_drive, parse_drive, print_drive, storage_of
from .errors import ApiError
from .tasks import say
from .vmconfig import Values, VmConfig

if t.TYPE_CHECKING:
    from .cluster import Cluster

CLOUDINIT_SIZE = 4 << 20


def create_disks(
    cluster: Cluster, call: Call, vmid: int, config: VmConfig, values: Values, default: str | None = None
) -> tuple[dict[str, str], list[str]]:
    """Makes or finds the volumes of drives.

    :param values: options, among them drives as they were asked for
    :return: the drives as they are written, and the volumes that are new; those are removed when one fails
    """
    result: dict[str, str] = {}
    new: list[str] = []
    try:
        for key in sorted(key for key in values if is_drive(key)):
            drive = parse_drive(key, str(values[key]), allocate=True)
            if drive is not None:
                result[key] = _create(cluster, call, vmid, config, key, drive, default, new, result)
    except ApiError:
        for volume in new:
            with contextlib.suppress(ApiError):
                cluster.volumes.free(call.node, volume)
        raise
    return result, new


def _create(
    cluster: Cluster,
    call: Call,
    vmid: int,
    config: VmConfig,
    key: str,
    drive: Drive,
    default: str | None,
    new: list[str],
    made: Values,
) -> str:
    file = drive["file"]
    match = NEW_DISK.fullmatch(file)
    if file in ("none", "cdrom"):
        drive.pop("size", None)
        return print_drive(drive)
    parts = storage_of(file)
    if parts and parts[1] == "cloudinit":
        return _cloudinit(cluster, call, vmid, config, key, drive, parts[0], new, made)
    if match is None:
        return _attach(cluster, call, vmid, config, key, drive, made)
    storage = match[1] or default
    if not storage:
        raise ApiError("no storage ID specified (and no default storage)")
    source = drive.pop("import-from", None)
    if source:
        volume, drive["size"] = _import(cluster, call, vmid, storage, source, drive.get("format"), new)
    else:
        firmware = (528 if drive.get("efitype") == "4m" else 128) << 10
        size = {"efidisk0": firmware, "tpmstate0": 4 << 20}.get(key, math.ceil(float(match[2]) * (1 << 20)) << 10)
        image_format = drive.get("format") or cluster.volumes.default_format(call.node, storage)
        volume = cluster.volumes.allocate(call.node, storage, vmid, image_format, size)
        drive["size"] = size
        new.append(volume)
    if config.is_template:
        volume = cluster.volumes.make_base(call.node, volume)
        new[-1] = volume
    drive["file"] = volume
    drive.pop("format", None)
    text = print_drive(drive)
    say(f"{key}: successfully created disk '{text}'")
    return text


def _cloudinit_key(config: VmConfig, made: Values, but: str) -> str | None:
    for values in (config.values, config.pending, made):
        for key, drive in config.drives(values):
            if key != but and is_cloudinit(drive):
                return key
    return None


def _cloudinit(
    cluster: Cluster,
    call: Call,
    vmid: int,
    config: VmConfig,
    key: str,
    drive: Drive,
    storage: str,
    new: list[str],
    made: Values,
) -> str:
    other = _cloudinit_key(config, made, key)
    if other:
        raise ApiError(f"{key} - cloud-init drive is already attached at '{other}'")
    has_files = cluster.volumes.storage(call.node, storage).has_files
    image_format = drive.pop("format", None) or ("qcow2" if has_files else "raw")
    drive["file"] = _allocate_cloudinit(cluster, call.node, storage, vmid, image_format)
    drive["media"] = "cdrom"
    new.append(drive["file"])
    text = print_drive(drive)
    say(f"{key}: successfully created disk '{text}'")
    return text


def _allocate_cloudinit(cluster: Cluster, node: str, storage: str, vmid: int, image_format: str) -> str:
    extension = f".{image_format}" if cluster.volumes.storage(node, storage).has_files else ""
    name = f"vm-{vmid}-cloudinit{extension}"
    return cluster.volumes.allocate(node, storage, vmid, image_format, CLOUDINIT_SIZE, name)


def _attach(cluster: Cluster, call: Call, vmid: int, config: VmConfig, key: str, drive: Drive, made: Values) -> str:
    """An existing volume (or a path, for root)."""
    file = drive["file"]
    cluster.volumes.check_access(call.user, call.node, vmid, file)
    if storage_of(file) is None:
        raise ApiError(f"volume {file} does not exist")
    volume = cluster.volumes.parse(call.node, file)
    if volume.kind not in ("images", "iso"):
        place = "at /usr/share/perl5/PVE/API2/Qemu.pm line 688."
        raise ApiError(f"cannot use volume {file} - content type needs to be 'images' or 'iso' {place}")
    if drive.get("format") and drive["format"] != volume.format:
        told = f"'format={drive['format']}' option different from storage format '{volume.format}'"
        raise ApiError(f"drive '{key}' - volume '{file}' - {told}")
    if is_cloudinit(drive):
        other = _cloudinit_key(config, made, key)
        if other:
            raise ApiError(f"{key} - cloud-init drive is already attached at '{other}'")
    cluster.volumes.activate(call.node, file)
    info = cluster.volumes.info(call.node, file)
    if info is None or not info.size:
        raise ApiError(f"volume {file} does not exist")
    drive["size"] = info.size
    return print_drive(drive)


def _import(
    cluster: Cluster, call: Call, vmid: int, storage: str, source: str, image_format: str | None, new: list[str]
) -> tuple[str, int]:
    """A full copy of an image or of another volume; its volume and size."""
    if storage_of(source) is None:
        raise ApiError(f"can't find file '{source}'")
    volume = cluster.volumes.parse(call.node, source)
    owner = volume.vmid if volume.kind == "images" else None
    if volume.kind == "import":
        place, name = cluster.volumes.find(call.node, source)
        images.info(place.file(name), place.file_format(name), place.names, untrusted=True)
    try:
        if cluster.volumes.info(call.node, source) is None:
            raise ApiError(f"could not get size of {source}")
        if is_cloudinit({"file": source}):
            raise ApiError("cannot import from cloudinit disk")
        if owner is not None and cluster.files.find().get(owner, call.node) != call.node:
            raise ApiError(f"owner VM {owner} not on local node")
        running = owner is not None and cluster.guests.running(owner)
        if volume.kind != "import" and not cluster.volumes.feature(call.node, "copy", source):
            raise ApiError(f"cannot import from '{source}' - full clone feature is not supported")
        if owner is None or owner == vmid:
            drive = copy_disk(cluster, call.node, {"file": source}, vmid, storage, image_format, new)
        else:
            with cluster.locks.config(owner, 30, shared=not running):
                drive = copy_disk(cluster, call.node, {"file": source}, vmid, storage, image_format, new)
    except ApiError as error:
        raise ApiError(f"cannot import from '{source}' - {error}") from None
    return drive["file"], drive["size"]


def copy_disk(
    cluster: Cluster,
    node: str,
    drive: Drive,
    vmid: int,
    storage: str | None,
    image_format: str | None,
    new: list[str],
    *,
    name: str = "",
    snapshot: str | None = None,
    kind: str = "clone",
    limit: int | None = None,
) -> Drive:
    """A full copy of a drive's volume for a VM; the drive of the copy.

    :param kind: ``clone`` or ``move``, whose limit of the storages counts where ``limit`` (KiB/s) is not given
    """
    say(f"create full clone of drive {name + ' ' if name else ''}({drive['file']})")
    source, source_name = cluster.volumes.find(node, drive["file"])
    target = storage or source.name
    wanted = image_format or source.parse(source_name).format
    resolved = cluster.volumes.resolve_format(node, target, wanted)
    if image_format and image_format != resolved:
        say(f"format '{image_format}' is not supported by the target storage '{target}' - using '{resolved}' instead")
    copied = {key: value for key, value in drive.items() if key != "format"}
    if is_cloudinit(drive):  # it is made anew, whatever is cloned
        volume = _allocate_cloudinit(cluster, node, target, vmid, resolved)
        new.append(volume)
        return {**copied, "file": volume, "size": CLOUDINIT_SIZE}
    info = cluster.volumes.info(node, drive["file"])
    if info is None:
        raise ApiError(f"volume '{drive['file']}' does not exist")
    volume = cluster.volumes.allocate(node, target, vmid, resolved, info.size)
    new.append(volume)
    say(f"allocated target volume '{volume}'")
    cluster.volumes.copy(node, drive["file"], volume, snapshot, kind=kind, limit=limit or 0)
    told = f"{info.size / (1 << 20):.1f} MiB"
    say(f"transferred 0.0 B of {told} (0.00%)\ntransferred {told} of {told} (100.00%)")
    return {**copied, "file": volume, "size": info.size}


def linked_disk(cluster: Cluster, node: str, drive: Drive, vmid: int, new: list[str], name: str) -> Drive:
    """A copy-on-write clone of a drive's base; the drive of the clone."""
    say(f"create linked clone of drive {name} ({drive['file']})")
    volume = cluster.volumes.clone(node, drive["file"], vmid)
    new.append(volume)
    info = cluster.volumes.info(node, volume)
    copied = {key: value for key, value in drive.items() if key != "format"}
    return {**copied, "file": volume, "size": info.size if info else drive.get("size")}


def register_unused(cluster: Cluster, node: str, vmid: int, config: VmConfig, drive: Drive | None) -> None:
    """A detached volume becomes an ``unusedN`` of its owner; a cloud-init drive is destroyed."""
    if drive is None:
        return
    if is_cloudinit(drive):
        with contextlib.suppress(ApiError):
            cluster.volumes.free(node, drive["file"])
    elif not is_cdrom(drive):
        parts = storage_of(drive["file"])
        if parts and parts[0] in cluster.volumes.all() and cluster.volumes.is_owner(node, vmid, drive["file"]):
            config.add_unused(drive["file"])


def deallocate(cluster: Cluster, call: Call, vmid: int, config: VmConfig, key: str, drive: Drive) -> None:
    """Destroys the volume of a drive that the VM owns; dies when it is needed."""
    if is_cdrom(drive, but_cloudinit=True) or not cluster.volumes.is_owner(call.node, vmid, drive["file"]):
        return
    parts = storage_of(drive["file"])
    if parts:
        cluster.access.check(call.user, f"/storage/{parts[0]}", ["Datastore.AllocateSpace"])
    if in_use(config, key, drive["file"]):
        raise ApiError(f"unable to delete '{drive['file']}' - volume is still in use (snapshot?)")
    cluster.volumes.free(call.node, drive["file"])


def in_use(config: VmConfig, but: str, volume: str) -> bool:
    """Another drive of the VM, or one of a snapshot, has the volume."""
    if any(key != but and drive["file"] == volume for key, drive in config.drives()):
        return True
    return any(
        drive["file"] == volume for values in config.snapshots.values() for dummy, drive in config.drives(values)
    )


def detach(cluster: Cluster, call: Call, vmid: int, config: VmConfig, key: str, *, force: bool) -> None:
    """Takes the volume from a drive that is removed, or destroys it."""
    drive = parse_drive(key, str(config.values[key]))
    if force and drive:
        cluster.access.check_vm(call.user, vmid, ["VM.Config.Disk"])
        deallocate(cluster, call, vmid, config, key, drive)
    else:
        register_unused(cluster, call.node, vmid, config, drive)
