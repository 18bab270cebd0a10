"""Many VMs are started or stopped by one task."""

from __future__ import annotations

import typing as t

from .calls import Call, answers
from .errors import ApiError
from .formats import split_list
from .tasks import say
from .vm_power import start_vm, stop_vm

if t.TYPE_CHECKING:
    from .cluster import Cluster

GUESTS = "POST /cluster/bulk-action/guest/"
Work = t.Callable[[str, int], None]


def _wanted(cluster: Cluster, call: Call) -> dict[int, str]:
    """VM → node of what is asked for; dies where the user may not."""
    given = call.parameters.get("vms")
    listed = [int(vmid) for vmid in (given if isinstance(given, list) else split_list(given))]
    if not cluster.access.may(call.user, "/", ["VM.PowerMgmt"]):
        for vmid in listed:
            cluster.access.check(call.user, f"/vms/{vmid}", ["VM.PowerMgmt"])
        if not listed:
            cluster.access.check(call.user, "/", ["VM.PowerMgmt"])
    node = call.parameters.get("node")
    found = {vmid: one for vmid, one in cluster.files.find().items() if node in (None, one)}
    return {vmid: one for vmid, one in found.items() if not listed or vmid in listed}


def _each(cluster: Cluster, guests: dict[int, str], verb: str, work: Work) -> None:
    """Carries out something for each VM, in tasks of their own; dies of those that failed."""
    kind = "qmstart" if verb == "start" else "qmshutdown"
    upids = {
        vmid: cluster.tasks.fork(node, kind, vmid, "root@pam", lambda node=node, vmid=vmid: work(node, vmid))  # type: ignore[misc]
        for vmid, node in sorted(guests.items())
    }
    failed = []
    for vmid, upid in upids.items():
        say(f"{'Starting' if verb == 'start' else 'Stopping'} VM {vmid}")
        task = cluster.tasks.get(upid)
        task.ended.wait()
        if task.status != "OK":
            failed.append(str(vmid))
            say(f"VM {vmid} failed: {task.status}")
    if failed and not verb.endswith("all"):
        raise ApiError(f"Some guests failed to {verb}{':' if verb == 'start' else ''} {', '.join(failed)}")


@answers(GUESTS + "start", "POST /nodes/{node}/startall")
def start_all(cluster: Cluster, call: Call) -> str:
    """Starts VMs that do not run; of a node only those with ``onboot``, but for ``force``."""
    guests = {vmid: node for vmid, node in _wanted(cluster, call).items() if not cluster.guests.running(vmid)}
    whole_node = "node" in call.parameters
    if whole_node and not call.flag("force"):
        guests = {vmid: node for vmid, node in guests.items() if cluster.files.load(node, vmid).values.get("onboot")}
    node = call.node if whole_node else cluster.options.nodes[0]

    def work() -> None:
        _each(cluster, guests, "start", lambda node, vmid: start_vm(cluster, node, vmid))

    return cluster.tasks.fork(node, "startall" if whole_node else "bulk-start", None, call.user, work)


@answers(GUESTS + "shutdown", "POST /nodes/{node}/stopall")
def stop_all(cluster: Cluster, call: Call) -> str:
    """Shuts VMs down; those of a node are switched off when they do not."""
    guests = {vmid: node for vmid, node in _wanted(cluster, call).items() if cluster.guests.running(vmid)}
    whole_node = "node" in call.parameters
    force, timeout = call.flag("force-stop", True), call.number("timeout") or 180
    node = call.node if whole_node else cluster.options.nodes[0]

    def stop(node: str, vmid: int) -> None:
        stop_vm(cluster, node, vmid, hard=False, force=force, timeout=timeout)

    def work() -> None:
        _each(cluster, guests, "shutdown", stop)

    return cluster.tasks.fork(node, "stopall" if whole_node else "bulk-shutdown", None, call.user, work)
