"""VMs are made and destroyed."""

from __future__ import annotations

import typing as t

from .calls import Call, answers
from .drives import is_cdrom, is_drive, parse_drive, print_boot_order, storage_of
from .errors import ApiError, parameter_error, permission_error
from .images import qemu_version
from .tasks import say, warn
from .vm_disks import create_disks
from .vm_power import start_vm
from .vm_rights import check_bridges, check_device, check_options, check_storages, check_tags
from .vm_update import check_keys, check_vga, complete, new_uuid, pin_machine, resolve_cdrom
from .vmconfig import Values, VmConfig, drive_order

if t.TYPE_CHECKING:
    from .cluster import Cluster

#: Parameters that are no options of the VM.
CONTROL = (
    *("node", "vmid", "archive", "bwlimit", "force", "pool", "start", "ha-managed", "storage", "unique"),
    *("live-restore", "import-working-storage"),
)


def _check(cluster: Cluster, call: Call, values: Values) -> None:
    access, vmid, pool, storage = cluster.access, call.vmid, call.get("pool"), call.get("storage")
    check_keys(values.get("sshkeys"))
    cluster.check_quorum()
    if pool is not None and pool not in access.data["pools"]:
        raise permission_error(f"pool '{pool}' does not exist")
    if storage is not None:
        access.check(call.user, f"/storage/{storage}", ["Datastore.AllocateSpace"])
    if call.flag("ha-managed"):
        access.check(call.user, "/", ["Sys.Console"])
    if call.flag("start"):
        access.check_vm(call.user, vmid, ["VM.PowerMgmt"], pool=pool)
    allowed = access.may(call.user, f"/vms/{vmid}", ["VM.Allocate"])
    if not allowed and not (pool and access.may(call.user, f"/pool/{pool}", ["VM.Allocate"])):
        raise permission_error()
    if call.get("archive"):
        _check_archive(cluster, call, values)
    resolve_cdrom(values)
    check_storages(cluster, call, vmid, values, storage)
    check_options(cluster, call, vmid, values, pool)
    for key in sorted(values):
        check_device(cluster, call, vmid, key, values[key], pool)
    check_bridges(cluster, call, values)
    complete(cluster, call, values)


def _check_archive(cluster: Cluster, call: Call, values: Values) -> None:
    """There are no archives; only what is wrong with the call is told."""
    archive = str(call.get("archive"))
    for key in sorted(key for key in values if is_drive(key)):
        raise parameter_error({key: "option conflicts with option 'archive'"})
    if archive == "-":
        raise ApiError("pipe requires cli environment")
    cluster.volumes.check_access(call.user, call.node, call.vmid, archive, "backup")
    if storage_of(archive) is None:
        raise ApiError(f"can't find file '{archive}'")
    cluster.volumes.activate(call.node, archive)
    raise ApiError("restoring is not implemented in the simulator")


@answers("POST /nodes/{node}/qemu")
def create(cluster: Cluster, call: Call) -> str:
    """A new VM, in a task."""
    vmid = call.vmid
    values = call.rest(*CONTROL)
    _check(cluster, call, values)
    failed = f"unable to create VM {vmid} -"
    with cluster.locks.config(vmid, 5):
        node = cluster.files.find().get(vmid)
        if node is not None:
            raise ApiError(f"{failed} VM {vmid} already exists on node '{node}'")
        cluster.files.write(call.node, vmid, VmConfig({"lock": "create"}))

    def work() -> None:
        try:
            with cluster.locks.config(vmid, 1):
                _fill(cluster, call, values, failed)
        except ApiError:
            cluster.files.remove(call.node, vmid)
            raise
        if call.get("pool"):
            with cluster.access.change("adding to the pool failed") as data:
                data["pools"][call.get("pool")]["vms"].append(str(vmid))
        if call.flag("ha-managed"):
            say("Add as HA resource")
            state = "started" if call.flag("start") else "stopped"
            cluster.ha.change(lambda data: data["resources"].update({f"vm:{vmid}": {"state": state}}))
        if call.flag("start"):
            say("Execute autostart")
            cluster.fork(call, "qmstart", vmid, lambda: start_vm(cluster, call.node, vmid))

    return cluster.fork(call, "qmcreate", vmid, work)


def _fill(cluster: Cluster, call: Call, values: Values, failed: str) -> None:
    vmid = call.vmid
    new: list[str] = []
    try:
        values["meta"] = f"creation-qemu={qemu_version()},ctime={int(cluster.clock.time())}"
        config = VmConfig()
        made, new = create_disks(cluster, call, vmid, config, values, call.get("storage"))
        values.update(made)
        if not values.get("boot"):
            values["boot"] = print_boot_order(_default_order(values))
        if values.get("vga"):
            check_vga(str(values["vga"]))
        pin_machine(cluster, values, values.get("machine"), values.get("ostype"))
        if not values.get("smbios1"):
            values["smbios1"] = f"uuid={new_uuid()}"
        if values.get("vmgenid") in (None, "1"):
            values["vmgenid"] = new_uuid()
        if values.get("tags") is not None:
            check_tags(cluster, call, vmid, None, values["tags"])
            values["tags"] = cluster.datacenter.unique_tags(values["tags"])
        cluster.files.write(call.node, vmid, VmConfig(values))
    except ApiError as error:
        for volume in new:
            cluster.volumes.free(call.node, volume)
        raise ApiError(f"{failed} {error}") from None


def _default_order(values: Values) -> list[str]:
    """The first disk, the first optical drive, the first interface."""
    order = []
    for optical in (False, True):
        for key in drive_order():
            drive = parse_drive(key, str(values[key])) if key in values else None
            if drive and key not in ("efidisk0", "tpmstate0") and is_cdrom(drive) == optical:
                order.append(key)
                break
    interfaces = [f"net{index}" for index in range(32) if f"net{index}" in values]
    return order + interfaces[:1]


@answers("DELETE /nodes/{node}/qemu/{vmid}")
def destroy(cluster: Cluster, call: Call) -> str:
    """Destroys a VM with the volumes it owns, in a task."""
    vmid = call.vmid
    if call.flag("skiplock") and call.user != "root@pam":
        raise parameter_error({"skiplock": "Only root may use this option."})

    def check() -> VmConfig:
        config = cluster.files.load(node, vmid)
        config.check_protection(f"can't remove VM {vmid}")
        if cluster.ha.configured(vmid) and not purge:
            raise ApiError(f"unable to remove VM {vmid} - used in HA resources and purge parameter not set.")
        if cluster.guests.running(vmid):
            raise ApiError(f"VM {vmid} is running - destroy failed")
        return config

    node, purge, unreferenced = call.node, call.flag("purge"), call.flag("destroy-unreferenced-disks")
    skiplock = call.flag("skiplock")
    check()

    def work() -> None:
        with cluster.locks.config(vmid):
            config = check()
            if not skiplock and config.values.get("lock") != "suspended":
                config.check_lock()
            _free_all(cluster, node, vmid, config, unreferenced)
            _forget(cluster, vmid, purge)
            cluster.files.remove(node, vmid)

    return cluster.tasks.fork(node, "qmdestroy", vmid, call.user, work)


def _free_all(cluster: Cluster, node: str, vmid: int, config: VmConfig, unreferenced: bool) -> None:
    volumes = [
        drive["file"]
        for values in (config.values, config.pending)
        for dummy, drive in config.drives(values, unused=True)
        if not is_cdrom(drive, but_cloudinit=True)
    ]
    if config.is_template:
        for volume in volumes:
            if cluster.volumes.is_used_base(node, volume):
                raise ApiError(f"base volume '{volume}' is still in use by linked cloned")
    kept = (config.values, *config.snapshots.values())
    memories = [str(values["vmstate"]) for values in kept if values.get("vmstate")]
    owned = [volume for volume in [*volumes, *memories] if cluster.volumes.is_owner(node, vmid, volume)]
    if unreferenced:
        for name in cluster.volumes.all():
            if cluster.volumes.is_enabled(node, name):
                storage = cluster.volumes.storage(node, name)
                found = storage.owned(vmid) if storage.content & {"images", "rootdir"} else []
                owned += [f"{name}:{volume}" for volume in found]
    for volume in dict.fromkeys(owned):
        try:
            cluster.volumes.free(node, volume)
        except ApiError as error:
            warn(f"Could not remove disk '{volume}', check manually: {error}")


def _forget(cluster: Cluster, vmid: int, purge: bool) -> None:
    with cluster.access.change("removing access rights failed") as data:
        data["acl"] = [entry for entry in data["acl"] if entry["path"] != f"/vms/{vmid}"]
        for pool in data["pools"].values():
            pool["vms"] = [one for one in pool["vms"] if one != str(vmid)]
    if purge:
        say(f"purging VM {vmid} from related configurations..")
        if cluster.ha.configured(vmid):
            cluster.ha.change(lambda data: data["resources"].pop(f"vm:{vmid}"))
            say(f"NOTE: removed VM {vmid} from HA resource configuration.")
