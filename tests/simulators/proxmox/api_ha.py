"""Resources of high availability, and what the manager knows of them."""

from __future__ import annotations

import hashlib
import json
import re
import typing as t

from .calls import Call, answers
from .errors import MODIFIED, ApiError
from .formats import split_list
from .ha_rules import remove_from_rules

if t.TYPE_CHECKING:
    from .cluster import Cluster

Record = dict[str, t.Any]
OPTIONS = ("state", "group", "comment", "failback", "max_restart", "max_relocate")


def _sid(cluster: Cluster, text: str) -> str:
    if not text.isdigit():
        if not re.fullmatch(r"\S+:\S+", text):
            raise ApiError(f"unable to parse service id '{text}'")
        return text
    if int(text) not in cluster.files.find():
        raise ApiError(f"unable to detect SID from VMID - VM/CT {text} does not exist")
    return f"vm:{text}"


def _digest(cluster: Cluster) -> str:
    return hashlib.sha1(json.dumps(cluster.ha.data["resources"], sort_keys=True).encode()).hexdigest()


def _check_values(call: Call) -> None:
    for key, value in call.parameters.items():
        if value is None:
            raise ApiError(f"got undefined value for option '{key}'")


def _entry(cluster: Cluster, sid: str) -> Record:
    if sid not in cluster.ha.data["resources"]:
        raise ApiError(f"no such resource '{sid}'")
    return {"sid": sid, "type": sid.partition(":")[0], "digest": _digest(cluster), **cluster.ha.data["resources"][sid]}


@answers("GET /cluster/ha/resources")
def resources(cluster: Cluster, call: Call) -> list[Record]:
    """All resources."""
    entries = [_entry(cluster, sid) for sid in cluster.ha.data["resources"]]
    return [entry for entry in entries if call.get("type") in (None, entry["type"])]


@answers("GET /cluster/ha/resources/{sid}")
def resource(cluster: Cluster, call: Call) -> Record:
    """One resource."""
    return _entry(cluster, _sid(cluster, str(call.get("sid"))))


@answers("POST /cluster/ha/resources")
def add(cluster: Cluster, call: Call) -> None:
    """A VM becomes a resource."""
    cluster.check_quorum()
    sid = _sid(cluster, str(call.get("sid")))
    kind, dummy, name = sid.partition(":")
    if call.get("type") not in (None, kind):
        raise ApiError("types does not match")
    if call.get("group"):
        raise ApiError("invalid parameter 'group': ha groups have been migrated to rules")
    if kind not in ("vm", "ct"):
        raise ApiError(f"unknown section type '{kind}'")
    if not re.fullmatch("[1-9][0-9]+", name):
        raise ApiError("invalid VMID")
    if int(name) not in cluster.files.find():
        raise ApiError(f"resource '{sid}' does not exist in cluster")
    if kind == "ct":
        raise ApiError(f"resource '{sid}' - guest with ID {name} is not a container")
    _check_values(call)
    if sid in cluster.ha.data["resources"]:
        raise ApiError(f"create resource failed: resource ID '{sid}' already defined")
    cluster.ha.change(lambda data: data["resources"].update({sid: call.rest("sid", "type")}))


@answers("PUT /cluster/ha/resources/{sid}")
def update(cluster: Cluster, call: Call) -> None:
    """Changes what is wanted of a resource."""
    sid = _sid(cluster, str(call.get("sid")))
    if call.get("group"):
        raise ApiError("invalid parameter 'group': ha groups have been migrated to rules")
    failed = "update resources config failed:"
    if call.get("digest") and call.get("digest") != _digest(cluster):
        raise ApiError(f"{failed} {MODIFIED}")
    if sid not in cluster.ha.data["resources"]:
        raise ApiError(f"{failed} no such resource '{sid}'")
    given, removed = call.rest("sid", "digest", "delete"), split_list(call.get("delete"))
    for key in [key for key in given if given[key] is None]:
        raise ApiError(f"{failed} got undefined value for option '{key}'")
    for key in [key for key in removed if key not in OPTIONS]:
        raise ApiError(f"{failed} no such option '{key}'")

    def change(data: Record) -> None:
        data["resources"][sid].update(given)
        for key in removed:
            data["resources"][sid].pop(key, None)

    cluster.ha.change(change)


@answers("DELETE /cluster/ha/resources/{sid}")
def remove(cluster: Cluster, call: Call) -> None:
    """A VM is no resource any more."""
    sid = _sid(cluster, str(call.get("sid")))
    if sid not in cluster.ha.data["resources"]:
        raise ApiError(f"cannot delete service '{sid}', not HA managed!")
    purge = call.flag("purge", True)

    def change(data: Record) -> None:
        del data["resources"][sid]
        data["status"].pop(sid, None)
        if purge:
            remove_from_rules(data, sid)

    cluster.ha.change(change)


@answers("POST /cluster/ha/resources/{sid}/migrate", "POST /cluster/ha/resources/{sid}/relocate")
def move(cluster: Cluster, call: Call) -> Record:
    """Asks the manager to bring a resource to another node."""
    sid = _sid(cluster, str(call.get("sid")))
    if cluster.ha.data["resources"].get(sid, {"state": "ignored"}).get("state") == "ignored":
        raise ApiError(f"resource '{sid}' is not HA managed")
    cluster.ha.ask_to_move(int(sid.partition(":")[2]), call.node)
    return {"sid": sid, "requested-node": call.node}


@answers("GET /cluster/ha/groups")
def groups(cluster: Cluster, call: Call) -> None:
    """There are no groups any more."""
    raise ApiError("cannot index groups: ha groups have been migrated to rules")


def _no_group(verb: str) -> t.Callable[[Cluster, Call], None]:
    def answer(cluster: Cluster, call: Call) -> None:
        raise ApiError(f"cannot {verb} group: ha groups have been migrated to rules")

    return answer


for _method, _verb in {"POST": "create", "GET": "read", "PUT": "update", "DELETE": "delete"}.items():
    answers(f"{_method} /cluster/ha/groups" + ("" if _method == "POST" else "/{group}"))(_no_group(_verb))


@answers("GET /cluster/ha/status/manager_status")
def manager(cluster: Cluster, call: Call) -> Record:
    """Quorum, and what the manager has written down."""
    quorum = {"quorate": int(cluster.quorate()), "node": cluster.options.nodes[0]}
    known = {"service_status": cluster.ha.data["status"]} if cluster.options.ha_seconds is not None else {}
    return {"manager_status": known, "quorum": quorum, "lrm_status": {}}


@answers("GET /cluster/ha/status/current")
def current(cluster: Cluster, call: Call) -> list[Record]:
    """Quorum, manager and services."""
    quorate = int(cluster.quorate())
    result: list[Record] = [
        {"id": "quorum", "type": "quorum", "node": cluster.options.nodes[0], "quorate": quorate, "status": "OK"}
    ]
    for sid, one in cluster.ha.data["resources"].items():
        status, wanted = cluster.ha.data["status"].get(sid, {}), one.get("state", "started")
        told = {"failback": 1, "max_restart": 1, "max_relocate": 1, **one}
        entry = {"id": f"service:{sid}", "type": "service", "sid": sid, "request_state": wanted}
        entry.update({key: told[key] for key in OPTIONS if key != "state" and key in told})
        if "state" in status:
            entry["crm_state"] = status["state"]
        state = "ignored" if wanted == "ignored" else status.get("state", "queued")
        node = status.get("node") or cluster.files.find().get(int(sid.partition(":")[2]))
        result.append({**entry, "node": node, "state": state, "status": f"{sid} ({node}, {state})"})
    return result
