"""VMs become templates and are cloned."""

from __future__ import annotations

import contextlib
import re
import typing as t
from dataclasses import dataclass, field

from .calls import Call, answers
from .drives import Drive, is_cdrom, is_cloudinit, is_drive, parse_drive, print_drive, storage_of
from .errors import ApiError, parameter_error, permission_error
from .schema import parse_properties, print_properties
from .tasks import say
from .vm_disks import copy_disk, linked_disk
from .vm_rights import check_bridges
from .vm_update import new_uuid, random_mac
from .vmconfig import Values, VmConfig

if t.TYPE_CHECKING:
    from .cluster import Cluster

LEFT_OUT = ("parent", "snaptime", "vmstate", "snapstate", "runningcpu", "runningmachine", "lock", "digest")


@answers("POST /nodes/{node}/qemu/{vmid}/template")
def template(cluster: Cluster, call: Call) -> str:
    """Turns a VM into a template, in a task."""
    disk = call.get("disk")

    def check() -> VmConfig:
        config = cluster.load(call)
        config.check_lock()
        if config.snapshots:
            raise ApiError("unable to create template, because VM contains snapshots")
        if config.is_template and not disk:
            raise ApiError("you can't convert a template to a template")
        if cluster.guests.running(call.vmid):
            raise ApiError("you can't convert a VM to template if VM is running")
        return config

    check()

    def work() -> None:
        with cluster.locks.config(call.vmid):
            config = check()
            config.values["template"] = 1
            cluster.files.write(call.node, call.vmid, config)
            for key, drive in list(config.drives()):
                if is_cdrom(drive) or (disk and key != disk):
                    continue
                if cluster.volumes.feature(call.node, "template", drive["file"]):
                    drive["file"] = cluster.volumes.make_base(call.node, drive["file"])
                    config.values[key] = print_drive(drive)
                    cluster.files.write(call.node, call.vmid, config)

    return cluster.fork(call, "qmtemplate", call.vmid, work)


@dataclass
class _Plan:
    """What a clone will be."""

    values: Values = field(default_factory=dict)
    drives: dict[str, Drive] = field(default_factory=dict)
    full: set[str] = field(default_factory=set)
    old: Values = field(default_factory=dict)


class _Clone:
    """One clone."""

    def __init__(self, cluster: Cluster, call: Call) -> None:
        self.cluster, self.call = cluster, call
        self.node, self.vmid, self.newid = call.node, call.vmid, int(call.parameters["newid"])
        self.storage, self.format, self.snapshot = call.get("storage"), call.get("format"), call.get("snapname")
        target = call.get("target")
        self.target = None if target in (self.node, "localhost") else target
        self.running = cluster.is_running(call)

    def check(self) -> _Plan:
        """The plan; dies where the clone is not possible."""
        cluster, call = self.cluster, self.call
        if call.get("pool") and call.get("pool") not in cluster.access.data["pools"]:
            raise permission_error(f"pool '{call.get('pool')}' does not exist")
        if self.target and self.target not in cluster.options.nodes:
            raise ApiError(f"no such cluster node '{self.target}'")
        self._check_storage()
        cluster.check_quorum()
        config = cluster.files.load(self.node, self.vmid)
        config.check_lock()
        if self.snapshot and self.snapshot not in config.snapshots:
            raise ApiError(f"snapshot '{self.snapshot}' does not exist")
        full = call.flag("full", not config.is_template)
        for key in ("storage", "format"):
            if call.get(key) is not None and not full:
                raise ApiError(f"parameter '{key}' not allowed for linked clones")
        plan = _Plan(old=config.snapshots[self.snapshot] if self.snapshot else config.values)
        shared = self._check_rights(plan.old)
        check_bridges(cluster, call, plan.old)
        if self.target and not shared:
            raise ApiError(f"can't clone VM to node '{self.target}' (VM uses local storage)")
        if self.newid in cluster.files.find():
            raise ApiError(f"unable to create VM {self.newid}: config file already exists")
        for key in sorted(key for key in plan.old if key not in LEFT_OUT and not re.fullmatch(r"unused\d+", key)):
            self._plan_option(plan, key, plan.old[key], full)
        return plan

    def _check_storage(self) -> None:
        if not self.storage:
            return
        storage = self.cluster.volumes.enabled(self.node, self.storage)
        if "images" not in storage.content:
            raise parameter_error({"storage": f"storage '{self.storage}' does not support vm images"})
        if self.target:
            self.cluster.volumes.enabled(self.target, self.storage)
            if not storage.shared:
                raise ApiError(f"can't clone to non-shared storage '{self.storage}'")

    def _check_rights(self, values: Values) -> bool:
        """Dies when the user may not allocate the copies; whether all volumes are on shared storages."""
        shared = True
        for _dummy, drive in VmConfig().drives(values):
            if drive["file"] == "none":
                continue
            if is_cdrom(drive) and drive["file"] == "cdrom":
                self.cluster.access.check(self.call.user, "/", ["Sys.Console"])
                continue
            parts = storage_of(drive["file"])
            if parts is None:
                raise ApiError(f"unable to parse volume ID '{drive['file']}'")
            name = self.storage or parts[0]
            if not is_cdrom(drive):
                self.cluster.access.check(self.call.user, f"/storage/{name}", ["Datastore.AllocateSpace"])
            shared = shared and self.cluster.volumes.storage(self.node, parts[0]).shared
        if values.get("vmstatestorage"):
            path = f"/storage/{values['vmstatestorage']}"
            self.cluster.access.check(self.call.user, path, ["Datastore.AllocateSpace"])
        return shared

    def _plan_option(self, plan: _Plan, key: str, value: t.Any, full: bool) -> None:
        if key == "tpmstate0" and full and self.running and not self.snapshot:
            raise ApiError("cannot clone TPM state while VM is running")
        if re.fullmatch(r"net\d+", key):
            schema = self.cluster.files.options["net0"]["format"]
            net = {**parse_properties(schema, str(value)), "macaddr": random_mac()}
            plan.values[key] = print_properties(schema, net)
            return
        if not is_drive(key):
            plan.values[key] = value
            return
        drive = parse_drive(key, str(value))
        if drive is None:
            raise ApiError(f"unable to parse drive options for '{key}'")
        if is_cdrom(drive, but_cloudinit=True):
            plan.values[key] = value
            return
        copied = full or is_cloudinit(drive) or key == "tpmstate0"
        feature = "copy" if copied else "clone"
        if not self.cluster.volumes.feature(self.node, feature, drive["file"], self.snapshot):
            what = f"clone feature is not supported for{' a snapshot of' if self.snapshot else ''}"
            raise ApiError(f"{'Full' if copied else 'Linked'} {what} '{drive['file']}' ({key})")
        plan.drives[key] = drive
        plan.full |= {key} if copied else set()

    def run(self) -> None:
        """Makes the clone."""
        with (
            self.cluster.locks.config(self.vmid, 1, shared=not self.running),
            self.cluster.locks.config(self.newid, 1),
        ):
            self._run(self.check())

    def _run(self, plan: _Plan) -> None:
        cluster, call, values = self.cluster, self.call, plan.values
        say(f"creating a clone of VM {self.vmid} with ID {self.newid}")
        smbios = [part for part in str(values.get("smbios1") or "").split(",") if not part.startswith("uuid=")]
        values["smbios1"] = ",".join([*smbios, f"uuid={new_uuid()}"]).lstrip(",")
        if values.get("vmgenid"):
            values["vmgenid"] = new_uuid()
        values.pop("template", None)
        values["name"] = call.get("name") or f"Copy-of-VM-{plan.old.get('name') or self.vmid}"
        if call.get("description"):
            values["description"] = call.get("description")
        new: list[str] = []
        cluster.files.write(self.node, self.newid, VmConfig({"lock": "clone"}))
        try:
            for drive in plan.drives.values():
                cluster.volumes.activate(self.node, drive["file"])
            for key in sorted(plan.drives):
                self._disk(plan, key, new)
            cluster.files.write(self.node, self.newid, VmConfig(values))
            if self.target:
                cluster.files.move(self.node, self.newid, self.target)
        except ApiError as error:
            for volume in new:
                with contextlib.suppress(ApiError):
                    cluster.volumes.free(self.node, volume)
            cluster.files.remove(self.node, self.newid)
            raise ApiError(f"clone failed: {error}") from None
        if call.get("pool"):
            with cluster.access.change("adding to the pool failed") as data:
                data["pools"][call.get("pool")]["vms"].append(str(self.newid))

    def _disk(self, plan: _Plan, key: str, new: list[str]) -> None:
        drive, node = plan.drives[key], self.node
        if key in plan.full:
            wanted, snapshot = (self.storage, self.format), self.snapshot
            limit = self.call.number("bwlimit")
            made = copy_disk(
                self.cluster, node, drive, self.newid, *wanted, new, name=key, snapshot=snapshot, limit=limit
            )
        else:
            made = linked_disk(self.cluster, node, drive, self.newid, new, key)
        plan.values[key] = print_drive(made)


@answers("POST /nodes/{node}/qemu/{vmid}/clone")
def clone(cluster: Cluster, call: Call) -> str:
    """A copy of a VM, in a task."""
    one = _Clone(cluster, call)
    one.check()
    return cluster.fork(call, "qmclone", call.vmid, one.run)
