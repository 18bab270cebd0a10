"""Lists, states and configurations of VMs."""

from __future__ import annotations

import typing as t

from .calls import Call, answers
from .drives import boot_order, is_cdrom, is_drive, parse_drive
from .errors import ApiError, parameter_error
from .schema import parse_boolean
from .vmconfig import Values

if t.TYPE_CHECKING:
    from .cluster import Cluster

Record = dict[str, t.Any]
PRESSURES = [f"pressure{what}{how}" for what in ("cpu", "io", "memory") for how in ("some", "full")]


def agent_options(values: Values) -> dict[str, str]:
    """Options of the guest agent; empty when it is not enabled."""
    parts: dict[str, str] = {}
    for part in str(values.get("agent") or "").split(","):
        key, equals, value = part.partition("=")
        parts[key if equals else "enabled"] = value if equals else part
    return parts if parse_boolean(parts.get("enabled", "0")) == "1" else {}


def memory_of(values: Values) -> int:
    """Memory in MiB."""
    return int(str(values.get("memory") or 512).removeprefix("current="))


def boot_disks(values: Values) -> list[str]:
    """Drives that are booted from."""
    if values.get("boot") is None or "order=" not in str(values["boot"]):
        return [values["bootdisk"]] if values.get("bootdisk") else []
    return [key for key in boot_order(values["boot"]) if is_drive(key)]


def _boot_size(values: Values) -> int:
    for key in boot_disks(values):
        drive = parse_drive(key, str(values[key])) if key in values else None
        if drive and not is_cdrom(drive):
            return int(drive.get("size") or 0)
    return 0


def status_of(cluster: Cluster, node: str, vmid: int) -> Record:
    """The state of a VM as lists show it."""
    values = cluster.files.load(node, vmid).values
    record = cluster.guests.record(vmid)
    cpus = int(values.get("vcpus") or int(values.get("sockets") or 1) * int(values.get("cores") or 1))
    status: Record = {
        "vmid": vmid,
        "status": "running" if record else "stopped",
        "name": values.get("name") or f"VM {vmid}",
        "cpus": min(cpus, 4),
        "maxmem": memory_of(values) << 20,
        "maxdisk": _boot_size(values),
        **dict.fromkeys(("disk", "uptime", "cpu", "mem", "memhost", "netin", "netout"), 0),
    }
    if values.get("template"):
        status["template"] = 1
    status.update({key: values[key] for key in ("lock", "tags") if values.get(key) is not None})
    if any(key.startswith("serial") for key in values):
        status["serial"] = 1
    if record:
        status.update(pid=record["pid"], uptime=cluster.guests.uptime(record), **dict.fromkeys(PRESSURES, 0))
    return status


@answers("GET /nodes/{node}/qemu")
def vms(cluster: Cluster, call: Call) -> list[Record]:
    """The VMs of a node that the user may see."""
    found = [vmid for vmid, node in cluster.files.find().items() if node == call.node]
    seen = [vmid for vmid in found if cluster.access.may(call.user, f"/vms/{vmid}", ["VM.Audit"])]
    result = []
    for vmid in seen:
        try:
            result.append(status_of(cluster, call.node, vmid))
        except ApiError:  # destroyed meanwhile
            continue
    return result


@answers("GET /nodes/{node}/qemu/{vmid}/status")
def states(cluster: Cluster, call: Call) -> list[Record]:
    """What can be asked or wanted of a VM that exists."""
    cluster.load(call)
    return [{"subdir": name} for name in ("current", "start", "stop", "reset", "shutdown", "suspend", "reboot")]


@answers("GET /nodes/{node}/qemu/{vmid}/status/current")
def current(cluster: Cluster, call: Call) -> Record:
    """The exact state of a VM."""
    status = status_of(cluster, call.node, call.vmid)
    values = cluster.load(call).values
    status["ha"] = cluster.ha.status(call.vmid)
    status["qmpstatus"] = "paused" if cluster.guests.paused(call.vmid) else status["status"]
    if agent_options(values):
        status["agent"] = 1
    return status


@answers("GET /nodes/{node}/qemu/{vmid}/config")
def config(cluster: Cluster, call: Call) -> Values:
    """The configuration, with pending changes or without, or of a snapshot."""
    if call.get("snapshot") and call.flag("current"):
        told = "cannot use 'snapshot' parameter with 'current'"
        raise parameter_error({"snapshot": told, "current": told})
    found = cluster.load(call)
    if call.get("snapshot"):
        name = str(call.get("snapshot"))
        if name not in found.snapshots:
            raise ApiError(f"snapshot '{name}' does not exist")
        values = dict(found.snapshots[name])
    else:
        values = found.current(pending=not call.flag("current"))
    if values.get("cipassword"):
        values["cipassword"] = "**********"
    return {**values, "digest": found.digest}


@answers("GET /nodes/{node}/qemu/{vmid}/pending")
def pending(cluster: Cluster, call: Call) -> list[Record]:
    """Values with what will become of them."""
    found = cluster.load(call)
    deleted = found.pending_delete()
    waiting = {key: value for key, value in found.pending.items() if key != "delete"}
    result = []
    for key, value in {**found.values, "digest": found.digest}.items():
        item: Record = {"key": key, "value": "**********" if key == "cipassword" else value}
        if key in waiting:
            item["pending"] = waiting.pop(key)
        if key in deleted:
            item["delete"] = 2 if deleted.pop(key) else 1
        result.append(item)
    result += [{"key": key, "pending": value} for key, value in waiting.items()]
    return result + [{"key": key, "delete": 2 if force else 1} for key, force in deleted.items()]


@answers("GET /nodes/{node}/qemu/{vmid}/feature")
def feature(cluster: Cluster, call: Call) -> Record:
    """Whether all disks can be snapshotted, cloned or copied."""
    cluster.files.check(call.node, call.vmid)
    found = cluster.load(call)
    snapshot = call.get("snapname")
    if snapshot is not None and snapshot not in found.snapshots:
        raise ApiError(f"snapshot '{snapshot}' does not exist")
    values = found.snapshots[snapshot] if snapshot else found.values
    has = all(
        cluster.volumes.feature(call.node, str(call.get("feature")), drive["file"], snapshot)
        for dummy, drive in found.drives(values)
        if not is_cdrom(drive)
    )
    return {"hasFeature": int(has), "nodes": [call.node]}
