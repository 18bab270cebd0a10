"""What pvestatd tells the cluster every ten seconds: nodes, VMs, storages."""

from __future__ import annotations

import shutil
import typing as t

from .calls import Call, answers
from .errors import ApiError
from .vm_status import status_of

if t.TYPE_CHECKING:
    from .cluster import Cluster

Entry = dict[str, t.Any]


class Resources:
    """The last state that was told."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: dict[str, Entry] = {}
        if cluster.options.resources_seconds > 0:
            cluster.every(cluster.options.resources_seconds, self.tell, "pvestatd")

    def tell(self) -> None:
        """A round of pvestatd."""
        self._known = self._measure()

    def known(self) -> dict[str, Entry]:
        """``vm 100``, ``node pve1`` or ``storage pve1/local`` → what was told of it."""
        return self._measure() if self._cluster.options.resources_seconds <= 0 else self._known

    def _measure(self) -> dict[str, Entry]:
        cluster = self._cluster
        result: dict[str, Entry] = {}
        disk = shutil.disk_usage(cluster.state)
        for node in cluster.options.nodes:
            if cluster.faults.node_down(node):
                continue
            stats = {"status": "online", "uptime": 100, "cpu": 0, "maxcpu": 4, "mem": 1 << 30, "maxmem": 16 << 30}
            result[f"node {node}"] = {**stats, "disk": disk.used, "maxdisk": disk.total, "level": ""}
            for name in cluster.volumes.all():
                told = {"status": "available", "disk": disk.used, "maxdisk": disk.total}
                result[f"storage {node}/{name}"] = told
        for vmid, node in cluster.files.find().items():
            try:
                if not cluster.faults.node_down(node):
                    result[f"vm {vmid}"] = _vm(status_of(cluster, node, vmid))
            except ApiError:  # removed meanwhile
                continue
        return result


def _vm(status: Entry) -> Entry:
    entry = {key: status.get(key, 0) for key in ("uptime", "name", "status", "cpu", "maxmem", "mem", "maxdisk", "disk")}
    entry.update({key: status.get(key, 0) for key in ("netin", "netout", "memhost", "template")})
    return {**entry, "maxcpu": status["cpus"], "diskread": 0, "diskwrite": 0}


@answers("GET /cluster/resources")
def resources(cluster: Cluster, call: Call) -> list[Entry]:
    """Everything that the user may see."""
    wanted = call.get("type")
    result: list[Entry] = []
    known = cluster.resources.known()
    if wanted in (None, "pool"):
        for pool in sorted(cluster.access.data["pools"]):
            if cluster.access.may(call.user, f"/pool/{pool}", ["Pool.Audit"]):
                result.append({"id": f"/pool/{pool}", "pool": pool, "type": "pool"})
    if wanted in (None, "vm"):
        result += _vms(cluster, call, known)
    if wanted in (None, "node"):
        result += nodes(cluster, call)
    if wanted in (None, "storage"):
        result += _storages(cluster, call, known)
    return result


def _vms(cluster: Cluster, call: Call, known: dict[str, Entry]) -> list[Entry]:
    result = []
    pools = {vmid: name for name, pool in cluster.access.data["pools"].items() for vmid in pool["vms"]}
    for vmid, node in cluster.files.find().items():
        if not cluster.access.may(call.user, f"/vms/{vmid}", ["VM.Audit"]):
            continue
        entry: Entry = {"id": f"qemu/{vmid}", "vmid": vmid, "node": node, "type": "qemu", "status": "unknown"}
        entry.update(known.get(f"vm {vmid}", {}))
        pool = pools.get(str(vmid))
        if pool and cluster.access.may(call.user, f"/pool/{pool}", ["Pool.Audit"]):
            entry["pool"] = pool
        try:
            values = cluster.files.load(node, vmid).values
        except ApiError:
            continue
        entry.update({key: values[key] for key in ("lock", "tags") if values.get(key)})
        state = cluster.ha.state(f"vm:{vmid}")
        if state:
            entry["hastate"] = state
        result.append(entry)
    return result


def _storages(cluster: Cluster, call: Call, known: dict[str, Entry]) -> list[Entry]:
    result = []
    for name, config in cluster.volumes.all().items():
        if not cluster.access.may(call.user, f"/storage/{name}", ["Datastore.Audit"]):
            continue
        for node in cluster.options.nodes:
            if cluster.volumes.is_enabled(node, name):
                entry = {"id": f"storage/{node}/{name}", "storage": name, "node": node, "type": "storage"}
                told = {"plugintype": config["type"], "status": "unknown", "shared": int(config.get("shared", 0))}
                content = {"content": config.get("content", "")}
                result.append({**entry, **told, **content, **known.get(f"storage {node}/{name}", {})})
    return result


@answers("GET /nodes")
def nodes(cluster: Cluster, call: Call) -> list[Entry]:
    """The nodes."""
    known = cluster.resources.known()
    result = []
    for node in cluster.options.nodes:
        entry: Entry = {"id": f"node/{node}", "node": node, "type": "node", "status": "unknown"}
        told = known.get(f"node {node}", {})
        if not cluster.access.may(call.user, f"/nodes/{node}", ["Sys.Audit"]):
            told = {key: told[key] for key in ("status", "level") if key in told}
        entry.update(told)
        if cluster.faults.node_down(node):
            entry["status"] = "offline"
        result.append(entry)
    return result
