"""VMs are paused, or put away with the state of their memory."""

from __future__ import annotations

import typing as t
from datetime import datetime

from .calls import Call, answers
from .drives import is_cdrom, storage_of
from .errors import ApiError
from .tasks import say
from .vm_power import PATH, check_running, only_root, start_vm
from .vm_status import memory_of
from .vmconfig import Values, VmConfig

if t.TYPE_CHECKING:
    from .cluster import Cluster

SUSPENDED = "suspended"


def memory_storage(cluster: Cluster, node: str, config: VmConfig) -> str:
    """Where the state of memory is kept: where it is told, or with a disk, best on a shared storage with files."""
    if config.values.get("vmstatestorage"):
        return str(config.values["vmstatestorage"])
    parts = [storage_of(drive["file"]) for dummy, drive in config.drives() if not is_cdrom(drive)]
    chosen: dict[bool, str] = {}
    for name in sorted({one[0] for one in parts if one}):
        storage = cluster.volumes.storage(node, name)
        if storage.shared not in chosen or storage.has_files:
            chosen[storage.shared] = name
    return chosen.get(True) or chosen.get(False) or "local"


def save_memory(cluster: Cluster, node: str, vmid: int, config: VmConfig, name: str, storage: str | None) -> Values:
    """A volume for the state of memory and processors."""
    storage = storage or memory_storage(cluster, node, config)
    suffix = ".raw" if cluster.volumes.storage(node, storage).has_files else ""
    size = (memory_of(config.values) * 2 + 500) << 20
    volume = cluster.volumes.allocate(node, storage, vmid, "raw", size, f"vm-{vmid}-state-{name}{suffix}")
    return {"vmstate": volume, "runningmachine": "pc-i440fx-10.1+pve0", "runningcpu": "qemu64"}


@answers(PATH + "suspend")
def suspend(cluster: Cluster, call: Call) -> str:
    """Pauses a VM, or saves its memory and switches it off."""
    only_root(call, "skiplock")
    check_running(cluster, call)
    if not call.flag("todisk"):
        return cluster.fork(call, "qmpause", call.vmid, lambda: _pause(cluster, call, True))
    if cluster.ha.managed(call.vmid):
        raise ApiError("Cannot suspend HA managed VM to disk")
    cluster.access.check_vm(call.user, call.vmid, ["VM.Config.Disk"])
    config = cluster.load(call)
    if any(key.startswith("hostpci") for key in config.values):
        lack = "which lack the possibility to save/restore their internal state"
        raise ApiError(f"cannot suspend VM to disk due to passed-through PCI device(s), {lack}")
    storage = call.get("statestorage") or memory_storage(cluster, call.node, config)
    cluster.access.check(call.user, f"/storage/{storage}", ["Datastore.AllocateSpace"])
    return cluster.fork(call, "qmsuspend", call.vmid, lambda: _put_away(cluster, call, storage))


def _put_away(cluster: Cluster, call: Call, storage: str) -> None:
    with cluster.locks.config(call.vmid):
        config = cluster.load(call)
        config.check_lock()
        today = datetime.fromtimestamp(cluster.clock.time()).strftime("%Y-%m-%d")
        saved = save_memory(cluster, call.node, call.vmid, config, f"suspend-{today}", storage)
        cluster.guests.forget(call.vmid)
        say("State saved, quitting")
        config.values.update(saved, lock=SUSPENDED)
        cluster.files.write(call.node, call.vmid, config)


@answers(PATH + "resume")
def resume(cluster: Cluster, call: Call) -> str:
    """Lets a VM run on that was paused or put away."""
    only_root(call, "skiplock", "nocheck")
    known = cluster.files.exists(call.node, call.vmid)
    if known and cluster.load(call).values.get("lock") == SUSPENDED:
        return cluster.fork(call, "qmresume", call.vmid, lambda: start_vm(cluster, call.node, call.vmid))
    check_running(cluster, call)
    return cluster.fork(call, "qmresume", call.vmid, lambda: _pause(cluster, call, False))


def _pause(cluster: Cluster, call: Call, paused: bool) -> None:
    with cluster.locks.config(call.vmid):
        cluster.load(call).check_lock()
        cluster.guests.pause(call.vmid, paused)
