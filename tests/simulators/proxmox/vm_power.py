"""VMs are started and stopped."""

from __future__ import annotations

import contextlib
import re
import typing as t

from .calls import Call, answers
from .drives import is_cdrom, storage_of
from .errors import ApiError, parameter_error
from .schema import parse_properties
from .tasks import say
from .vm_pending import apply_pending
from .vm_status import agent_options

if t.TYPE_CHECKING:
    from .cluster import Cluster

AGENT_SILENT = "QEMU Guest Agent is not running - VM {} qga command 'guest-ping' failed - got timeout"
PATH = "POST /nodes/{node}/qemu/{vmid}/status/"


def _service(node: str, vmid: int) -> Call:
    """A call that the node makes itself."""
    return Call("root@pam", {"node": node, "vmid": vmid})


def start_vm(cluster: Cluster, node: str, vmid: int) -> None:
    """Starts a VM, with its pending changes."""
    with cluster.locks.config(vmid):
        config = cluster.files.load(node, vmid)
        if config.is_template:
            raise ApiError("you can't start a vm if it's a template")
        suspended = config.values.get("lock") == "suspended"
        if not suspended:
            config.check_lock()
        if cluster.guests.running(vmid):
            raise ApiError(f"VM {vmid} already running")
        saved = config.values.get("vmstate")
        if not suspended and not saved:
            apply_pending(cluster, _service(node, vmid), vmid, config)
        _plug_bridges(cluster, node, config.values)
        disks = []
        for key, drive in config.drives():
            if storage_of(drive["file"]) is None or key in ("efidisk0", "tpmstate0"):
                continue
            cluster.volumes.activate(node, drive["file"])
            storage, name = cluster.volumes.find(node, drive["file"])
            disks.append((key, drive, storage.file(name), storage.file_format(name)))
        first = [one for one in disks if one[0] in str(config.values.get("boot")) and not is_cdrom(one[1])]
        cluster.guests.start(node, vmid, config.values, first + [one for one in disks if one not in first])
        if suspended or saved:  # it runs on from where it was put away
            if saved:
                cluster.volumes.free(node, str(saved))
            for key in ("lock", "vmstate", "runningmachine", "runningcpu"):
                config.values.pop(key, None)
            cluster.files.write(node, vmid, config)


def _plug_bridges(cluster: Cluster, node: str, values: t.Mapping[str, t.Any]) -> None:
    """Dies when the node lacks the bridge of an interface, as the script of QEMU does."""
    schema = cluster.files.options["net0"]["format"]
    for key in sorted(key for key in values if re.fullmatch(r"net\d+", key)):
        bridge = parse_properties(schema, str(values[key])).get("bridge")
        if bridge and bridge not in cluster.bridges(node):
            say(f"bridge '{bridge}' does not exist")
            script = "network script /usr/libexec/qemu-server/pve-bridge failed with status 512"
            say(f"kvm: -netdev type=tap,id={key},ifname=tap,script=/usr/libexec/qemu-server/pve-bridge: {script}")
            raise ApiError("start failed: QEMU exited with code 1")


def _wait_stopped(cluster: Cluster, vmid: int, timeout: float) -> bool:
    waited = 0.0
    while not cluster.guests.has_stopped(vmid):
        if waited >= timeout:
            return False
        cluster.tasks.wait(1)
        waited += 1
    return True


def stop_vm(
    cluster: Cluster,
    node: str,
    vmid: int,
    *,
    hard: bool,
    force: bool = False,
    timeout: int | None = None,
    skiplock: bool = False,
) -> None:
    """Stops a VM and applies its pending changes.

    :param hard: switches it off; else the guest is asked to shut down
    :param force: switches it off when the guest does not
    :param timeout: seconds that the guest has, by default those of ``startup``, or 60
    """
    with cluster.locks.config(vmid):
        cluster.files.check(node, vmid)
        if not cluster.guests.running(vmid):
            return
        config = cluster.files.load(node, vmid)
        if not skiplock:
            config.check_lock()
        if not hard:
            down = re.search(r"down=(\d+)", str(config.values.get("startup") or ""))
            if timeout is None:
                timeout = int(down[1]) if down else 60
            agent = bool(agent_options(config.values))
            if agent and not cluster.guests.agent_answers(vmid):
                say(AGENT_SILENT.format(vmid))
                agent = False
            cluster.guests.ask_to_stop(vmid, agent)
            if not _wait_stopped(cluster, vmid, timeout):
                if not force:
                    raise ApiError("VM quit/powerdown failed - got timeout")
                say("VM still running - terminating now with SIGTERM")
        cluster.guests.forget(vmid)
        with contextlib.suppress(ApiError):
            apply_pending(cluster, _service(node, vmid), vmid, cluster.files.load(node, vmid))


def only_root(call: Call, *keys: str) -> None:
    """Dies when somebody else gives a parameter that is root's."""
    for key in keys:
        if call.parameters.get(key) not in (None, "0", 0) and call.user != "root@pam":
            raise parameter_error({key: "Only root may use this option."})


@answers(PATH + "start")
def start(cluster: Cluster, call: Call) -> str:
    """Starts a VM in a task (or asks the HA manager)."""
    only_root(call, "stateuri", "skiplock", "migratedfrom", "migration_type", "migration_network", "targetstorage")
    only_root(call, "force-cpu", "with-conntrack-state", "nets-host-mtu")
    cluster.check_quorum()
    if cluster.ha.managed(call.vmid):
        return cluster.ha.request(call, "hastart", call.vmid, "started")
    return cluster.fork(call, "qmstart", call.vmid, lambda: start_vm(cluster, call.node, call.vmid))


@answers(PATH + "stop")
def stop(cluster: Cluster, call: Call) -> str:
    """Switches a VM off in a task (or asks the HA manager)."""
    only_root(call, "skiplock", "keepActive", "migratedfrom")
    if cluster.ha.managed(call.vmid):
        if call.flag("overrule-shutdown"):
            raise parameter_error({"overrule-shutdown": "Not applicable for HA resources."})
        return cluster.ha.request(call, "hastop", call.vmid, "stopped")

    def work() -> None:
        if call.flag("overrule-shutdown"):
            overruled = cluster.tasks.running("qmshutdown", str(call.vmid))
            for task in overruled:
                task.stop.set()
            if overruled:
                say(f"overruled qmshutdown tasks: {', '.join(task.upid for task in overruled)}")
        stop_vm(cluster, call.node, call.vmid, hard=True, skiplock=call.flag("skiplock"))

    return cluster.fork(call, "qmstop", call.vmid, work)


@answers(PATH + "shutdown")
def shutdown(cluster: Cluster, call: Call) -> str:
    """Asks the guest to shut down, in a task (or asks the HA manager)."""
    only_root(call, "skiplock", "keepActive")
    hard, force, timeout = False, call.flag("forceStop"), call.number("timeout")
    if cluster.guests.paused(call.vmid):
        if not force:
            raise ApiError("VM is paused - cannot shutdown")
        hard = True
    if cluster.ha.managed(call.vmid):
        return cluster.ha.request(call, "hastop", call.vmid, "stopped", 60 if timeout is None else timeout)

    def work() -> None:
        if hard:
            say("VM is paused - stop instead of shutdown")
        stop_vm(cluster, call.node, call.vmid, hard=hard, force=force, timeout=timeout)

    return cluster.fork(call, "qmshutdown", call.vmid, work)


def check_running(cluster: Cluster, call: Call) -> None:
    """Dies when the VM does not run."""
    if not cluster.is_running(call):
        raise ApiError(f"VM {call.vmid} not running")


@answers(PATH + "reboot")
def reboot(cluster: Cluster, call: Call) -> str:
    """Shuts a VM down and starts it again, with its pending changes."""
    if cluster.guests.paused(call.vmid):
        raise ApiError("VM is paused - cannot shutdown")
    check_running(cluster, call)

    def work() -> None:
        stop_vm(cluster, call.node, call.vmid, hard=False, timeout=call.number("timeout"))
        start_vm(cluster, call.node, call.vmid)

    return cluster.fork(call, "qmreboot", call.vmid, work)


@answers(PATH + "reset")
def reset(cluster: Cluster, call: Call) -> str:
    """Resets a VM."""
    only_root(call, "skiplock")
    check_running(cluster, call)

    def work() -> None:
        with cluster.locks.config(call.vmid):
            cluster.load(call).check_lock()
            cluster.guests.reset(call.vmid)

    return cluster.fork(call, "qmreset", call.vmid, work)
