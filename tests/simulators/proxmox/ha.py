"""High availability: requests are recorded; with the option ``ha_seconds`` a manager carries them out."""

from __future__ import annotations

import json
import threading
import typing as t

from .calls import Call
from .errors import ApiError
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

    def ask_to_move(self, vmid: int, node: str) -> None:
        """Only records, too, where a VM is wanted."""
        say(f"Requesting HA migration for VM {vmid} to node {node}")
        self.change(lambda data: data.setdefault("moves", {}).update({f"vm:{vmid}": node}))

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
        asked = self.data.get("moves", {}).get(sid)
        if asked in cluster.options.nodes and not cluster.faults.node_down(asked):
            self.change(lambda data: data["moves"].pop(sid))
            if asked != node:
                cluster.guests.move(vmid, asked)
                cluster.files.move(node, vmid, asked)
                node = asked
        running = cluster.guests.running(vmid)
        if wanted == "started" and not running:
            cluster.tasks.fork(node, "qmstart", vmid, "root@pam", lambda: start_vm(cluster, node, vmid))
        elif wanted in ("stopped", "disabled") and running:
            cluster.tasks.fork(node, "qmshutdown", vmid, "root@pam", lambda: stop_vm(cluster, node, vmid, hard=True))
        settled = (wanted == "started") == running
        told = {"started": "started", "stopped": "stopped", "disabled": "stopped"}[wanted]
        state = told if settled else "request_start" if wanted == "started" else "request_stop"
        self.change(lambda data: data["status"].update({sid: {"state": state, "node": node}}))
