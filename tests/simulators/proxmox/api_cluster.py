"""Version, nodes, identifiers, tasks, pools."""

from __future__ import annotations

import typing as t

from .calls import Call, answers
from .errors import ApiError, parameter_error
from .formats import split_list
from .tasks import UPID, Task

if t.TYPE_CHECKING:
    from .cluster import Cluster

Record = dict[str, t.Any]


@answers("GET /version", "GET /nodes/{node}/version")
def version(cluster: Cluster, call: Call) -> Record:
    """The version that is simulated."""
    return {"release": "9.2", "repoid": "14a22df3", "version": "9.2.11"}


@answers(
    *(
        f"GET /cluster/{name}"
        for name in ("backup", "replication", "log", "config/nodes", "mapping/pci", "mapping/usb", "mapping/dir")
    ),
    *(f"GET /nodes/{{node}}/{name}" for name in ("lxc", "replication", "storage/{storage}/prunebackups")),
    "GET /cluster/qemu/custom-cpu-models",
)
def nothing(cluster: Cluster, call: Call) -> list[Record]:
    """There are none of these."""
    return []


@answers("GET /nodes/{node}/status")
def node_status(cluster: Cluster, call: Call) -> Record:
    """The state of a node."""
    return {"pveversion": "pve-manager/9.2.11/14a22df3", "uptime": 100, "cpu": 0, "loadavg": ["0.00"] * 3}


@answers("GET /nodes/{node}/time")
def node_time(cluster: Cluster, call: Call) -> Record:
    """The clock of a node."""
    now = int(cluster.clock.time())
    return {"time": now, "localtime": now, "timezone": "UTC"}


@answers("GET /nodes/{node}/network")
def network(cluster: Cluster, call: Call) -> list[Record]:
    """The bridges of a node; where bridges of any kind are asked for, those that the user may use."""
    wanted = call.get("type")
    if wanted not in (None, "bridge", "any_bridge", "any_local_bridge", "include_sdn"):
        return []
    found = cluster.bridges(call.node)
    if wanted in ("any_bridge", "any_local_bridge", "include_sdn"):
        found = [bridge for bridge in found if cluster.access.may_use_bridge(call.user, bridge)]
    told = {"type": "bridge", "active": 1, "autostart": 1, "method": "manual", "priority": 1}
    return [{"iface": bridge, **told} for bridge in found]


@answers("GET /nodes/{node}/network/{iface}")
def interface(cluster: Cluster, call: Call) -> Record:
    """One interface."""
    known = {record["iface"]: record for record in network(cluster, call)}
    if call.get("iface") not in known:
        raise parameter_error({"iface": "interface does not exist"})
    return {key: value for key, value in known[str(call.get("iface"))].items() if key != "iface"}


@answers("GET /cluster/status")
def status(cluster: Cluster, call: Call) -> list[Record]:
    """The cluster and its members."""
    nodes = cluster.options.nodes
    members = [
        {
            "type": "node",
            "id": f"node/{node}",
            "name": node,
            "nodeid": index if len(nodes) > 1 else 0,
            "ip": "127.0.0.1",
            "local": int(node == nodes[0]),
            "online": int(not cluster.faults.node_down(node)),
            "level": "",
        }
        for index, node in enumerate(nodes, 1)
    ]
    if len(nodes) == 1:
        return members
    quorate = int(cluster.quorate())
    told = {"type": "cluster", "id": "cluster", "name": "sim", "nodes": len(nodes), "version": 1, "quorate": quorate}
    return [told, *members]


@answers("GET /cluster/nextid")
def next_id(cluster: Cluster, call: Call) -> str:
    """The lowest free number, or whether one is free."""
    used = cluster.files.find()
    wanted = call.get("vmid")
    if wanted:
        if int(wanted) in used:
            raise parameter_error({"vmid": f"VM {wanted} already exists"})
        return wanted
    lower, upper = cluster.datacenter.numbers()
    free = next((vmid for vmid in range(lower, upper) if vmid not in used), None)
    if free is None:
        raise ApiError(f"unable to get any free VMID in range [{lower}, {upper}]")
    return str(free)


@answers("GET /cluster/tasks")
def cluster_tasks(cluster: Cluster, call: Call) -> list[Record]:
    """The latest tasks of all nodes."""
    everything = cluster.access.may(call.user, "/", ["Sys.Audit"])
    tasks = [task for task in cluster.tasks.all() if everything or task.user.partition("!")[0] == call.user]
    shown = [_listed(task) for task in tasks[:25]]
    for entry in shown:
        del entry["pid"], entry["pstart"]
        entry.update({"saved": "1"} if "status" in entry else {})
    return shown


def _listed(task: Task) -> Record:
    ended = {"endtime": task.endtime, "status": task.status} if task.status is not None else {}
    return {**task.describe(), **ended}


def _kind(status: str | None) -> str:
    if status is None:
        return "unknown"
    if status == "OK":
        return "ok"
    return "warning" if status.startswith("WARNINGS: ") else "error"


@answers("GET /nodes/{node}/tasks")
def node_tasks(cluster: Cluster, call: Call) -> list[Record]:
    """Tasks of a node, the newest first."""
    auditor = cluster.access.may(call.user, f"/nodes/{call.node}", ["Sys.Audit"])
    kinds = set(split_list((call.get("statusfilter") or "").lower())) or {"ok", "warning", "error", "unknown"}
    if call.flag("errors"):
        kinds = {"warning", "error", "unknown"}
    source = call.get("source") or "archive"
    found = []
    for task in cluster.tasks.all():
        if task.node != call.node or not (auditor or task.belongs_to(call.user)):
            continue
        if (task.status is None and source == "archive") or (task.status is not None and source == "active"):
            continue
        if _unwanted(task, call) or _kind(task.status) not in kinds:
            continue
        found.append({**_listed(task), **({} if task.status else {"status": "RUNNING"})})
    start, limit = call.number("start") or 0, call.number("limit")
    call.total = len(found)
    return found[start : start + (50 if limit is None else limit)]


def _unwanted(task: Task, call: Call) -> bool:
    user, kind, vmid = call.get("userfilter"), call.get("typefilter"), call.get("vmid")
    since, until = call.number("since"), call.number("until")
    return (
        (bool(user) and user.lower() not in task.user.lower() if user else False)
        or (kind is not None and task.type != kind)
        or (vmid is not None and task.id != vmid)
        or (since is not None and task.starttime < since)
        or (until is not None and task.starttime > until)
    )


def _task(cluster: Cluster, call: Call, privilege: str) -> Task:
    task = cluster.tasks.get(str(call.get("upid")))
    if not task.belongs_to(call.user):
        cluster.access.check(call.user, f"/nodes/{call.node}", [privilege])
    return task


@answers("GET /nodes/{node}/tasks/{upid}/status")
def task_status(cluster: Cluster, call: Call) -> Record:
    """Whether a task runs, and how it ended."""
    task = _task(cluster, call, "Sys.Audit")
    if task.status is None:
        return {**task.describe(), "status": "running"}
    return {**task.describe(), "status": "stopped", "exitstatus": task.status}


def _lines(cluster: Cluster, call: Call) -> list[str]:
    """The log of a task; a task that never was has one, too."""
    upid = str(call.get("upid"))
    if UPID.fullmatch(upid) and not cluster.tasks.known(upid):
        cluster.access.check(call.user, f"/nodes/{call.node}", ["Sys.Audit"])
        return ["unable to open file - No such file or directory"]
    return _task(cluster, call, "Sys.Audit").lines or ["no content"]


@answers("GET /nodes/{node}/tasks/{upid}/log")
def task_log(cluster: Cluster, call: Call) -> list[Record]:
    """Lines of a task's log."""
    start, limit = call.number("start") or 0, call.number("limit")
    lines = _lines(cluster, call)
    call.total = len(lines)
    end = None if limit == 0 else start + (50 if limit is None else limit)
    return [{"n": number, "t": line} for number, line in list(enumerate(lines, 1))[start:end]]


@answers("DELETE /nodes/{node}/tasks/{upid}")
def stop_task(cluster: Cluster, call: Call) -> None:
    """Interrupts a task."""
    task = _task(cluster, call, "Sys.Modify")
    task.stop.set()
    task.ended.wait(5)
