"""The cluster: everything that has a state, and the way from a call to its answer."""

from __future__ import annotations

import threading
import traceback
import typing as t
from pathlib import Path

from . import cpus, drives
from .access import Access
from .calls import ANSWERS, Call
from .clock import Clock
from .consoles import Consoles
from .datacenter import Datacenter
from .errors import ApiError, parameter_error, permission_error
from .faults import Faults
from .guests import Guests
from .ha import Ha
from .locks import Locks
from .options import Options
from .resources import Resources
from .schema import VALIDATORS, Method, load
from .tasks import Tasks
from .vmconfig import ConfigFiles, VmConfig
from .volumes import Volumes

#: Parameters of the call that changes a VM which are no options of a VM.
NO_OPTIONS = ("node", "vmid", "digest", "delete", "revert", "force", "skiplock", "background_delay", "cdrom") + (
    "import-working-storage",
    "skip_cloud_init",
)
NO_ROUTE = "No route to host"


class NotImplementedHere(ApiError):
    """No method of the API (or one that the simulator lacks)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 501)
        self.message = message


class Cluster:
    """A simulated cluster, kept in a directory."""

    def __init__(self, state: Path, options: Options | None = None) -> None:
        self.state = state
        state.mkdir(parents=True, exist_ok=True)
        self.options = options or Options.read(state)
        self.schema = load()
        self.faults = Faults(state, self.options.pace)
        self.clock = Clock(self.options.pace, self.faults)
        self.locks = Locks(self.clock, self.faults)
        self.access = Access(state, self.clock)
        self.datacenter = Datacenter(state, self.schema.method("PUT", "/cluster/options").properties)
        self.volumes = Volumes(state, self.options.storages, self.locks, self.access)
        self.tasks = Tasks(state, self.options, self.clock, self.faults)
        self.locks.held = self.tasks.spend
        self.volumes.copying = self._copying
        self.volumes.making = lambda size: self.tasks.wait(self.options.allocate_seconds * size / (1 << 40))
        self.guests = Guests(state, self.options, self.clock, self.faults)
        self.consoles = Consoles(self.guests)
        known = self.schema.method("POST", "/nodes/{node}/qemu/{vmid}/config").properties
        drives.learn(known)
        custom = self.schema.method("POST", "/cluster/qemu/custom-cpu-models").properties
        VALIDATORS["pve-vm-cpu-conf"] = cpus.checker(custom)
        vm_options = {key: wanted for key, wanted in known.items() if key not in NO_OPTIONS}
        self.files = ConfigFiles(state / "etc", vm_options, self.quorate)
        self.closed = threading.Event()
        self.resources = Resources(self)
        self.ha = Ha(self)

    def _copying(self, size: int, limit: float) -> None:
        """Lets the time pass that so many bytes take, at most ``limit`` KiB of them in a second."""
        held_back = size / limit / 1024 if limit else 0.0
        self.tasks.wait(max(self.options.copy_seconds * size / (1 << 30), held_back))

    def bridges(self, node: str) -> list[str]:
        """The bridges that a node has."""
        return self.options.bridges.get(node, ["vmbr0"])

    def every(self, seconds: float, work: t.Callable[[], object], name: str) -> None:
        """Does something again and again, beside the calls, until the cluster is closed."""

        def loop() -> None:
            while True:
                self.clock.sleep(seconds, self.closed)
                if self.closed.is_set():
                    return
                try:
                    work()
                except Exception:  # the next round may find what this one missed
                    traceback.print_exc()

        threading.Thread(target=loop, name=name, daemon=True).start()

    def quorate(self) -> bool:
        """Most nodes see each other."""
        return self.faults.find("quorum") is None

    def check_quorum(self) -> None:
        """Dies when the cluster cannot be changed."""
        if not self.quorate():
            raise ApiError("cluster not ready - no quorum?")

    def load(self, call: Call) -> VmConfig:
        """The configuration of the VM that is called."""
        return self.files.load(call.node, call.vmid)

    def is_running(self, call: Call) -> bool:
        """The VM that is called runs; dies where the node has no such VM."""
        self.files.check(call.node, call.vmid)
        return self.guests.running(call.vmid)

    def fork(self, call: Call, kind: str, identifier: object, work: t.Callable[[], object]) -> str:
        """Starts a task on the node that is called."""
        return self.tasks.fork(call.node, kind, identifier, call.user, work)

    def handle(
        self, verb: str, path: str, parameters: dict[str, t.Any], user: str | None, *, token: bool
    ) -> tuple[Call, t.Any]:
        """Finds the method, checks rights and parameters; the call and its data."""
        method, in_path = self.schema.find(verb, path)
        if method is None:
            raise NotImplementedHere(f"Method '{verb} {path}' not implemented")
        for key in sorted(parameters):
            if key in in_path and in_path[key] != parameters[key]:
                told = "duplicate parameter (already defined in URI) with conflicting values!"
                raise parameter_error({key: told})
        given: dict[str, t.Any] = {**in_path, **parameters}
        if token and not method.info.get("allowtoken"):
            raise permission_error(f"URI '{path}' not available with API token, need proper ticket.\n")
        self.access.check_call(method.info.get("permissions"), user, given)
        if method.info.get("proxyto") == "node":
            self.check_node(str(given.get("node")))
        if method.key == "PUT /cluster/ha/rules/{rule}" and "type" not in given:
            given.update({"type": rule["type"]} if (rule := self.ha.data["rules"].get(given["rule"])) else {})
        call = Call(user or "", method.validate(given))
        return call, self._answer(method, path, call)

    def check_node(self, node: str) -> None:
        """Dies when a node is not known, or does not answer."""
        if node == "localhost":
            return
        if node not in self.options.nodes:
            lookup = f"failed to get address info for: {node}: Temporary failure in name resolution"
            raise ApiError(f"hostname lookup '{node}' failed - {lookup}")
        if self.faults.node_down(node):
            self.tasks.interrupt(node)
            raise ApiError(NO_ROUTE, 595)

    def _answer(self, method: Method, path: str, call: Call) -> t.Any:
        if call.parameters.get("node") == "localhost":
            call.parameters["node"] = self.options.nodes[0]
        answer = ANSWERS.get(method.key)
        if answer is not None:
            return answer(self, call)
        links = method.info.get("returns", {}).get("links")
        children = self.schema.children(path)
        if method.verb == "GET" and links and children:
            return [{links[0]["href"].strip("{}"): child} for child in children]
        raise NotImplementedHere(f"Method '{method.verb} {path}' not implemented in the simulator")
