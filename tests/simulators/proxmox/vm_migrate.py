"""VMs move to another node."""

from __future__ import annotations

import typing as t

from .calls import Call, answers
from .drives import is_cdrom, storage_of
from .errors import ApiError, parameter_error
from .tasks import say
from .vmconfig import VmConfig

if t.TYPE_CHECKING:
    from .cluster import Cluster

Record = dict[str, t.Any]
PATH = "/nodes/{node}/qemu/{vmid}/migrate"


@answers("GET " + PATH)
def preconditions(cluster: Cluster, call: Call) -> Record:
    """What keeps a VM from moving, and where it may."""
    cluster.check_quorum()
    config = cluster.load(call)
    config.check_lock()
    others = [node for node in cluster.options.nodes if node != call.node]
    missing = {node: sorted(_missing(cluster, config, node)) for node in others}
    return {
        "running": int(cluster.guests.running(call.vmid)),
        "allowed_nodes": [node for node in others if not missing[node]],
        "not_allowed_nodes": {node: {"unavailable_storages": names} for node, names in missing.items() if names},
        "local_disks": [{"volid": volume} for volume in _local(cluster, call, config)],
        "local_resources": [],
        "mapped-resources": [],
        "mapped-resource-info": {},
        "has-dbus-vmstate": 1,
    }


def _storages(config: VmConfig) -> list[tuple[str, str]]:
    """Volumes of the VM's drives, with their storages."""
    found = [(drive["file"], storage_of(drive["file"])) for dummy, drive in config.drives()]
    return [(volume, parts[0]) for volume, parts in found if parts]


def _missing(cluster: Cluster, config: VmConfig, node: str) -> set[str]:
    return {name for dummy, name in _storages(config) if not cluster.volumes.is_enabled(node, name)}


def _local(cluster: Cluster, call: Call, config: VmConfig) -> list[str]:
    drives = [drive for dummy, drive in config.drives(unused=True) if not is_cdrom(drive)]
    volumes = [(drive["file"], storage_of(drive["file"])) for drive in drives]
    return [volume for volume, parts in volumes if parts and not cluster.volumes.storage(call.node, parts[0]).shared]


def _check(cluster: Cluster, call: Call, target: str) -> None:
    if target == call.node:
        raise parameter_error({"target": "target is local node."})
    cluster.check_quorum()
    if target not in cluster.options.nodes:
        raise ApiError(f"no such cluster node '{target}'")
    for key in ("force", "migration_type", "migration_network"):
        if call.get(key) not in (None, "0") and call.user != "root@pam":
            raise parameter_error({key: "Only root may use this option."})
    config = cluster.load(call)
    config.check_lock()
    if cluster.guests.running(call.vmid) and not call.flag("online"):
        raise ApiError("can't migrate running VM without --online")
    for volume, name in _storages(config):
        storage = cluster.volumes.enabled(call.node, name)
        cluster.volumes.enabled(target, name)
        kind = storage.parse(volume.partition(":")[2]).kind
        if kind not in storage.content:
            raise ApiError(f"{volume}: content type '{kind}' is not available on storage '{name}'")


@answers("POST " + PATH)
def migrate(cluster: Cluster, call: Call) -> str:
    """Moves a VM to another node, in a task; its volumes must be on shared storages."""
    target = str(call.get("target"))
    _check(cluster, call, target)
    if cluster.ha.managed(call.vmid):
        return cluster.fork(call, "hamigrate", call.vmid, lambda: cluster.ha.ask_to_move(call.vmid, target))

    def work() -> None:
        with cluster.locks.config(call.vmid):
            config = cluster.load(call)
            config.check_lock()
            if _local(cluster, call, config):
                raise ApiError("migration aborted - local disks are not implemented in the simulator")
            if cluster.faults.node_down(target):
                raise ApiError(f"Can't connect to destination address using public key\nnode {target} is down")
            cluster.guests.move(call.vmid, target)
            cluster.files.move(call.node, call.vmid, target)
            say("migration finished successfully")

    return cluster.fork(call, "qmigrate", call.vmid, work)
