"""Snapshots of VMs: all disks and the configuration."""

from __future__ import annotations

import re
import typing as t

from .calls import Call, answers
from .drives import Drive, is_cdrom
from .errors import ApiError
from .tasks import say
from .vm_power import start_vm, stop_vm
from .vm_status import agent_options
from .vm_suspend import save_memory
from .vm_update import new_uuid
from .vmconfig import Values, VmConfig

if t.TYPE_CHECKING:
    from .cluster import Cluster

#: What a snapshot does not keep of the configuration.
LEFT_OUT = ("snapstate", "snaptime", "vmstate", "lock", "digest", "description")
LIVE = {"-c": "blockdev-snapshot-internal-sync", "-d": "blockdev-snapshot-delete-internal-sync"}
PATH = "/nodes/{node}/qemu/{vmid}/snapshot"


def _copied(values: Values) -> Values:
    return {key: value for key, value in values.items() if key not in LEFT_OUT and not re.fullmatch(r"unused\d+", key)}


def _disks(config: VmConfig, values: Values) -> list[tuple[str, Drive]]:
    return [(key, drive) for key, drive in config.drives(values) if not is_cdrom(drive)]


def _change(cluster: Cluster, node: str, vmid: int, volume: str, action: t.Literal["-c", "-d"], name: str) -> None:
    """Makes or removes a snapshot of a volume; QEMU does it when it has the volume open."""
    if not cluster.guests.on_disk(vmid, volume, LIVE[action], {"name": name}):
        cluster.volumes.snapshot(node, volume, action, name)


@answers("GET " + PATH)
def snapshots(cluster: Cluster, call: Call) -> list[Values]:
    """All snapshots, and the state now."""
    config = cluster.load(call)
    result = []
    for name, values in config.snapshots.items():
        told = {"name": name, "snaptime": values.get("snaptime") or 0, "vmstate": int(bool(values.get("vmstate")))}
        optional = {key: values[key] for key in ("parent", "snapstate") if values.get(key)}
        result.append({**told, "description": values.get("description") or "", **optional})
    running = int(cluster.guests.running(call.vmid))
    now: Values = {"name": "current", "digest": config.digest, "running": running, "description": "You are here!"}
    if config.values.get("parent"):
        now["parent"] = config.values["parent"]
    return [*result, now]


def _snapshot(config: VmConfig, name: str) -> Values:
    if name not in config.snapshots:
        raise ApiError(f"snapshot '{name}' does not exist")
    return config.snapshots[name]


@answers(f"GET {PATH}/{{snapname}}/config")
def read(cluster: Cluster, call: Call) -> Values:
    """The configuration of a snapshot."""
    return _snapshot(cluster.load(call), str(call.get("snapname")))


@answers(f"PUT {PATH}/{{snapname}}/config")
def describe(cluster: Cluster, call: Call) -> None:
    """Changes the description of a snapshot."""
    if call.get("description") is None:
        return
    with cluster.locks.config(call.vmid):
        config = cluster.load(call)
        config.check_lock()
        _snapshot(config, str(call.get("snapname")))["description"] = call.get("description")
        cluster.files.write(call.node, call.vmid, config)


@answers("POST " + PATH)
def create(cluster: Cluster, call: Call) -> str:
    """A snapshot, in a task."""
    name = str(call.get("snapname"))
    if name == "current" or name.lower() == "pending":
        raise ApiError(f"unable to use snapshot name '{name.lower()}' (reserved name)")
    cluster.load(call)
    return cluster.fork(call, "qmsnapshot", call.vmid, lambda: _create(cluster, call, name))


def _create(cluster: Cluster, call: Call, name: str) -> None:
    node, vmid = call.node, call.vmid
    with cluster.locks.config(vmid):
        config = cluster.load(call)
        if config.is_template:
            raise ApiError("you can't take a snapshot if it's a template")
        config.check_lock()
        if name in config.snapshots:
            raise ApiError(f"snapshot name '{name}' already used")
        disks = _disks(config, config.values)
        if not all(cluster.volumes.feature(node, "snapshot", drive["file"]) for dummy, drive in disks):
            raise ApiError("snapshot feature is not available")
        config.values["lock"] = "snapshot"
        values = {**_copied(config.values), "snapstate": "prepare", "snaptime": int(cluster.clock.time())}
        if call.get("description"):
            values["description"] = call.get("description")
        if call.flag("vmstate") and cluster.guests.running(vmid):
            values.update(save_memory(cluster, node, vmid, config, name, None))
        config.snapshots[name] = values
        cluster.files.write(node, vmid, config)
    if cluster.guests.running(vmid) and agent_options(config.values) and not cluster.guests.agent_answers(vmid):
        say("skipping guest filesystem freeze - agent configured but not running?")
    taken: list[tuple[str, Drive]] = []
    try:
        for key, drive in disks:
            say(f"snapshotting 'drive-{key}' ({drive['file']})")
            _change(cluster, node, vmid, drive["file"], "-c", name)
            taken.append((key, drive))
    except ApiError as error:
        say("snapshot create failed: starting cleanup")
        for _dummy, drive in taken:
            _change(cluster, node, vmid, drive["file"], "-d", name)
        with cluster.locks.config(vmid):
            config = cluster.files.load(node, vmid)
            config.snapshots.pop(name, None)
            config.values.pop("lock", None)
            cluster.files.write(node, vmid, config)
        raise ApiError(f"{error}\n") from None
    with cluster.locks.config(vmid):
        config = cluster.files.load(node, vmid)
        if config.values.get("lock") != "snapshot":
            raise ApiError("missing snapshot lock")
        del config.values["lock"]
        del _snapshot(config, name)["snapstate"]
        config.values["parent"] = name
        cluster.files.write(node, vmid, config)


@answers(f"DELETE {PATH}/{{snapname}}")
def delete(cluster: Cluster, call: Call) -> str:
    """Removes a snapshot, in a task."""
    name, force = str(call.get("snapname")), call.flag("force")
    return cluster.fork(call, "qmdelsnapshot", call.vmid, lambda: _delete(cluster, call, name, force))


def _delete(cluster: Cluster, call: Call, name: str, force: bool) -> None:
    node, vmid = call.node, call.vmid
    with cluster.locks.config(vmid):
        config = cluster.load(call)
        _snapshot(config, name)
        config.check_lock()
        if config.is_template:
            raise ApiError("you can't delete a snapshot if vm is a template")
        config.values["lock"] = "snapshot-delete"
        config.snapshots[name]["snapstate"] = "delete"
        cluster.files.write(node, vmid, config)
    snapshot = config.snapshots[name]
    unused = []
    if snapshot.get("vmstate"):
        cluster.volumes.free(node, snapshot["vmstate"])
    for _dummy, drive in _disks(config, snapshot):
        try:
            _change(cluster, node, vmid, drive["file"], "-d", name)
        except ApiError as error:
            if not force:
                raise
            say(str(error))
        else:
            unused.append(drive["file"])
    with cluster.locks.config(vmid):
        config = cluster.files.load(node, vmid)
        parent = config.snapshots.pop(name, {}).get("parent")
        for values in (config.values, *config.snapshots.values()):
            if values.get("parent") == name:
                values.pop("parent")
                values.update({"parent": parent} if parent else {})
        config.values.pop("lock", None)
        for volume in unused:
            config.add_unused(volume)
        cluster.files.write(node, vmid, config)


@answers(f"POST {PATH}/{{snapname}}/rollback")
def rollback(cluster: Cluster, call: Call) -> str:
    """Takes a VM back to a snapshot, in a task."""
    name, start = str(call.get("snapname")), call.flag("start")
    if start:
        cluster.access.check(call.user, f"/vms/{call.vmid}", ["VM.PowerMgmt"])

    def work() -> None:
        _rollback(cluster, call.node, call.vmid, name)
        if start and not cluster.guests.running(call.vmid):
            cluster.fork(call, "qmstart", call.vmid, lambda: start_vm(cluster, call.node, call.vmid))

    return cluster.fork(call, "qmrollback", call.vmid, work)


def _rollback(cluster: Cluster, node: str, vmid: int, name: str) -> None:
    with cluster.locks.config(vmid):
        config = cluster.files.load(node, vmid)
        if config.is_template:
            raise ApiError("you can't rollback if vm is a template")
        snapshot = _snapshot(config, name)
        if snapshot.get("snapstate"):
            raise ApiError(f"unable to rollback to incomplete snapshot (snapstate = {snapshot['snapstate']})")
        config.check_lock()
        stop_vm(cluster, node, vmid, hard=True)
        config = cluster.files.load(node, vmid)
        config.values["lock"] = "rollback"
        cluster.files.write(node, vmid, config)
    for _dummy, drive in _disks(config, snapshot):
        cluster.volumes.snapshot(node, drive["file"], "-a", name)
    with cluster.locks.config(vmid):
        config = cluster.files.load(node, vmid)
        if config.values.get("lock") != "rollback":
            raise ApiError("got wrong lock")
        kept = {drive["file"] for dummy, drive in _disks(config, config.snapshots[name])}
        for _dummy, drive in _disks(config, config.values):
            if drive["file"] not in kept:
                config.add_unused(drive["file"])
        stays = {
            key: value
            for key, value in config.values.items()
            if re.fullmatch(r"unused\d+", key) or key == "description"
        }
        config.values = {**stays, **_copied(config.snapshots[name]), "parent": name}
        config.pending = {}
        if config.values.get("vmgenid"):
            config.values["vmgenid"] = new_uuid()
        for key in ("runningmachine", "runningcpu"):
            config.values.pop(key, None)
        cluster.files.write(node, vmid, config)
    if snapshot.get("vmstate"):
        start_vm(cluster, node, vmid)
