"""High availability: requests are recorded; with the option ``ha_seconds`` a manager carries them out."""

from __future__ import annotations

import hashlib
import json
import threading
import typing as t

from .calls import Call, answers
from .errors import ApiError
from .formats import split_list
from .tasks import say

if t.TYPE_CHECKING:
    from .cluster import Cluster

Record = dict[str, t.Any]


class Ha:
    """Resources and rules in ``etc/ha.json``, with what the manager believes."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._path = cluster.state / "etc" / "ha.json"
        self._lock = threading.RLock()
        self.data: Record = {"resources": {}, "rules": {}, "status": {}, "requests": []}
        if self._path.exists():
            self.data = json.loads(self._path.read_text())
        if cluster.options.ha_seconds is not None:
            cluster.every(cluster.options.ha_seconds, self._manage, "pve-ha-crm")

    def change(self, change: t.Callable[[Record], object]) -> None:
        """Changes the data and writes it."""
        with self._lock:
            change(self.data)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(self.data, indent=1))

    def configured(self, vmid: int) -> bool:
        """The VM is a resource."""
        return f"vm:{vmid}" in self.data["resources"]

    def managed(self, vmid: int) -> bool:
        """The VM is a resource that is not ignored."""
        return bool(self.data["resources"].get(f"vm:{vmid}", {"state": "ignored"}).get("state", "started") != "ignored")

    def state(self, sid: str) -> str | None:
        """The state that the manager tells, or the one that was asked for."""
        told = self.data["status"].get(sid) or self.data["resources"].get(sid) or {}
        return told.get("state")

    def status(self, vmid: int) -> Record:
        """``ha`` of a VM's status."""
        if not self.managed(vmid):
            return {"managed": 0}
        return {"managed": 1, "state": self.data["status"].get(f"vm:{vmid}", {}).get("state")}

    def request(self, call: Call, kind: str, vmid: int, state: str, timeout: int = 0) -> str:
        """A task that only records what is wanted of the manager."""

        def work() -> None:
            say(f"Requesting HA {'start' if kind == 'hastart' else 'stop'} for VM {vmid}")
            if kind == "hastart":
                self.change(lambda data: data["resources"][f"vm:{vmid}"].update(state=state))
            else:
                self.change(lambda data: data["requests"].append([f"vm:{vmid}", state, timeout]))

        return self._cluster.fork(call, kind, vmid, work)

    def _manage(self) -> None:
        for sid, state, timeout in list(self.data["requests"]):
            self._accept(sid, state, timeout)
        for sid, resource in list(self.data["resources"].items()):
            try:
                self._carry_out(sid, resource.get("state", "started"))
            except ApiError as error:
                say(str(error))

    def _accept(self, sid: str, state: str, timeout: int) -> None:
        self.change(lambda data: data["resources"].get(sid, {}).update(state=state))
        self.change(lambda data: data["requests"].remove([sid, state, timeout]))

    def _carry_out(self, sid: str, wanted: str) -> None:
        from .vm_power import start_vm, stop_vm

        cluster, vmid = self._cluster, int(sid.partition(":")[2])
        node = cluster.files.find().get(vmid)
        if node is None or wanted == "ignored" or not cluster.quorate():
            self.change(lambda data: data["status"].pop(sid, None))
            return
        if cluster.faults.node_down(node):  # fenced; another node takes over
            live = [one for one in cluster.options.nodes if not cluster.faults.node_down(one)]
            if not live:
                return
            cluster.guests.running(vmid)
            cluster.files.move(node, vmid, live[0])
            node = live[0]
        running = cluster.guests.running(vmid)
        if wanted == "started" and not running:
            cluster.tasks.fork(node, "qmstart", vmid, "root@pam", lambda: start_vm(cluster, node, vmid))
        elif wanted in ("stopped", "disabled") and running:
            cluster.tasks.fork(node, "qmshutdown", vmid, "root@pam", lambda: stop_vm(cluster, node, vmid, hard=True))
        settled = (wanted == "started") == running
        told = {"started": "started", "stopped": "stopped", "disabled": "stopped"}[wanted]
        state = told if settled else "request_start" if wanted == "started" else "request_stop"
        self.change(lambda data: data["status"].update({sid: {"state": state, "node": node}}))


def _sid(cluster: Cluster, text: str) -> str:
    if not text.isdigit():
        return text
    if int(text) not in cluster.files.find():
        raise ApiError(f"unable to detect SID from VMID - VM/CT {text} does not exist")
    return f"vm:{text}"


def _digest(cluster: Cluster) -> str:
    return hashlib.sha1(json.dumps(cluster.ha.data["resources"], sort_keys=True).encode()).hexdigest()


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
    if not name.isdigit() or int(name) not in cluster.files.find():
        raise ApiError(f"resource '{sid}' does not exist in cluster")
    if sid in cluster.ha.data["resources"]:
        raise ApiError(f"create resource failed: resource ID '{sid}' already defined")
    cluster.ha.change(lambda data: data["resources"].update({sid: call.rest("sid", "type")}))


@answers("PUT /cluster/ha/resources/{sid}")
def update(cluster: Cluster, call: Call) -> None:
    """Changes what is wanted of a resource."""
    sid = _sid(cluster, str(call.get("sid")))
    if sid not in cluster.ha.data["resources"]:
        raise ApiError(f"update resources config failed: no such resource '{sid}'")
    if call.get("digest") and call.get("digest") != _digest(cluster):
        raise ApiError(
            "update resources config failed: detected modified configuration - file changed by other user? Try again."
        )

    def change(data: Record) -> None:
        data["resources"][sid].update(call.rest("sid", "type", "digest", "delete"))
        for key in split_list(call.get("delete")):
            data["resources"][sid].pop(key, None)

    cluster.ha.change(change)


@answers("DELETE /cluster/ha/resources/{sid}")
def remove(cluster: Cluster, call: Call) -> None:
    """A VM is no resource any more."""
    sid = _sid(cluster, str(call.get("sid")))
    if sid not in cluster.ha.data["resources"]:
        raise ApiError(f"cannot delete service '{sid}', not HA managed!")
    cluster.ha.change(lambda data: (data["resources"].pop(sid), data["status"].pop(sid, None)))


@answers("GET /cluster/ha/status/current")
def current(cluster: Cluster, call: Call) -> list[Record]:
    """Quorum, manager and services."""
    quorate = int(cluster.quorate())
    result: list[Record] = [
        {"id": "quorum", "type": "quorum", "node": cluster.options.nodes[0], "quorate": quorate, "status": "OK"}
    ]
    for sid, one in cluster.ha.data["resources"].items():
        status, wanted = cluster.ha.data["status"].get(sid, {}), one.get("state", "started")
        entry = {"id": f"service:{sid}", "type": "service", "sid": sid, "request_state": wanted}
        if "state" in status:
            entry["crm_state"] = status["state"]
        state = "ignored" if wanted == "ignored" else status.get("state", "queued")
        result.append({**entry, "node": status.get("node"), "state": state, "status": "queued"})
    return result


@answers("GET /cluster/ha/rules")
def rules(cluster: Cluster, call: Call) -> list[Record]:
    """Affinity rules."""
    found = [{"rule": name, **rule} for name, rule in cluster.ha.data["rules"].items()]
    return [rule for rule in found if call.get("type") in (None, rule["type"])]


@answers("POST /cluster/ha/rules")
def add_rule(cluster: Cluster, call: Call) -> None:
    """A rule."""
    name = str(call.get("rule"))
    if name in cluster.ha.data["rules"]:
        raise ApiError(f"create ha rule failed: HA rule '{name}' already defined")
    cluster.ha.change(lambda data: data["rules"].update({name: call.rest("rule")}))


@answers("DELETE /cluster/ha/rules/{rule}")
def remove_rule(cluster: Cluster, call: Call) -> None:
    """Removes a rule."""
    cluster.ha.change(lambda data: data["rules"].pop(str(call.get("rule")), None))
