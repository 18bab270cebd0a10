"""Keys and commands that QEMU's monitor takes; terminals on serial consoles."""

from __future__ import annotations

import typing as t

from .calls import Call, answers
from .cluster import NotImplementedHere
from .errors import ApiError, parameter_error

if t.TYPE_CHECKING:
    from .cluster import Cluster

PATH = "/nodes/{node}/qemu/{vmid}/"
#: Commands of the monitor that everybody may give, who may give any; those that only root may.
HARMLESS = ("help", "?", "info")
ROOT = (
    "backup block_stream change chardev-add chardev-change chardev-remove client_migrate_info device_add "
    "device_del drive_add drive_backup drive_del drive_mirror dump-guest-memory dumpdtb gdbserver hostfwd_add "
    "hostfwd_remove logfile mce memsave migrate migrate_incoming migrate_recover nbd_server_add "
    "nbd_server_remove nbd_server_start nbd_server_stop netdev_add netdev_del nmi o object_add object_del "
    "pcie_aer_inject_error pmemsave qom-set savevm-end savevm-start screendump snapshot_blkdev watchdog_action "
    "wavcapture xen-event-inject xen-event-list"
)
MODIFY = (
    "announce_self backup_cancel balloon block_job_cancel block_job_complete block_job_pause block_job_resume "
    "block_job_set_speed block_resize block_set_io_throttle boot_set c calc_dirty_rate cancel_vcpu_dirty_limit "
    "chardev-send-break closefd commit cont cpu delvm eject exit_preconfig expire_password getfd gpa2hpa "
    "gpa2hva gva2gpa i loadvm log migrate_cancel migrate_continue migrate_pause migrate_set_capability "
    "migrate_set_parameter migrate_start_postcopy mouse_button mouse_move mouse_set one-insn-per-tb p print q "
    "qemu-io qom-get qom-list quit replay_break replay_delete_break replay_seek ringbuf_read ringbuf_write s "
    "savevm sendkey set_link set_password set_vcpu_dirty_limit snapshot_blkdev_internal "
    "snapshot_delete_blkdev_internal stop stopcapture sum sync-profile system_powerdown system_reset "
    "system_wakeup trace-event x x_colo_lost_heartbeat xp"
)


@answers(f"PUT {PATH}sendkey")
def send_key(cluster: Cluster, call: Call) -> None:
    """Presses keys; a guest that is not booted has no keyboard."""
    if call.flag("skiplock") and call.user != "root@pam":
        raise parameter_error({"skiplock": "Only root may use this option."})
    with cluster.locks.config(call.vmid):
        cluster.load(call)
        if not cluster.guests.running(call.vmid):
            raise ApiError(f"VM {call.vmid} not running")
        cluster.guests.monitor(call.vmid, f"sendkey {call.get('key')}")


@answers(f"POST {PATH}monitor")
def monitor(cluster: Cluster, call: Call) -> str:
    """What the monitor answers to a command."""
    words = str(call.get("command")).split()
    if not words:
        raise ApiError(f"unexpected command '{call.get('command')}'")
    if call.user != "root@pam":
        if words[0] in ROOT.split():
            raise ApiError(f"root-only command '{words[0]}'")
        if words[0] in MODIFY.split():
            cluster.access.check(call.user, "/", ["Sys.Modify"])
        elif words[0] not in HARMLESS:
            unknown = "non-existent or not assigned a required permission yet, limiting to root user"
            raise ApiError(f"command '{words[0]}' {unknown}")
    cluster.load(call)
    if not cluster.guests.running(call.vmid):
        return f"ERROR: VM {call.vmid} not running\n"
    return cluster.guests.monitor(call.vmid, " ".join(words))


@answers(f"POST {PATH}spiceproxy")
def spice(cluster: Cluster, call: Call) -> None:
    """No VM has a SPICE display."""
    cluster.load(call)
    raise ApiError("no spice port" if cluster.guests.running(call.vmid) else f"VM {call.vmid} not running")


@answers(f"POST {PATH}vncproxy")
def display(cluster: Cluster, call: Call) -> None:
    """There are no displays."""
    cluster.load(call)
    raise NotImplementedHere("consoles with a picture are not implemented in the simulator")


@answers(f"POST {PATH}termproxy")
def terminal(cluster: Cluster, call: Call) -> dict[str, t.Any]:
    """A terminal beside the VM, which waits for ten seconds for somebody with its ticket."""
    config = cluster.load(call).current(pending=False)
    serial = call.get("serial") or str(config.get("vga") or "")
    if not serial.startswith("serial"):
        raise NotImplementedHere("consoles with a picture are not implemented in the simulator")
    waiting = cluster.consoles.open(call.user, call.vmid, serial if config.get(serial) else "")
    upid = cluster.fork(call, "vncproxy", call.vmid, waiting.work)
    return {"user": call.user, "ticket": waiting.ticket, "port": waiting.port, "upid": upid}


@answers(f"GET {PATH}vncwebsocket")
def websocket(cluster: Cluster, call: Call) -> dict[str, str]:
    """Where the socket leads that is made of this call."""
    cluster.files.check(call.node, call.vmid)
    port = call.number("port") or 0
    if not cluster.consoles.belongs(call.user, call.vmid, str(call.get("vncticket"))):
        raise ApiError("invalid PVEVNC ticket", 401)
    return {"port": str(port)}
