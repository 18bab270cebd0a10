"""Several nodes, delays, high availability, real machines."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from .conftest import Client, Simulate, create_vm, eventually

VM = "/nodes/pve1/qemu/100"
#: Boot sector: writes BOOTED to the first serial port, then halts.
BOOT_SECTOR = bytes.fromhex("be107cbaf803ac84c07403eeebf8f4eb" + b"BOOTED\0".hex()).ljust(510, b"\0") + b"\x55\xaa"


def test_resources_lag(simulate: Simulate, image: bytes) -> None:
    pve = simulate(resources_seconds=1e6)
    create_vm(pve, image)
    entry = pve.get("/cluster/resources", type="vm")[0]
    assert entry == {"id": "qemu/100", "node": "pve1", "status": "unknown", "type": "qemu", "vmid": 100}
    pve.cluster.resources.tell()
    assert pve.task("POST", f"{VM}/status/start") == "OK"
    assert pve.get(f"{VM}/status/current")["status"] == "running"
    assert pve.get("/cluster/resources", type="vm")[0]["status"] == "stopped"


def test_resources_are_told_again_and_again(simulate: Simulate) -> None:
    pve = simulate(resources_seconds=1)
    assert pve.task("POST", "/nodes/pve1/qemu", vmid=100) == "OK"
    for change, wanted in (("start", "running"), ("stop", "stopped")):
        assert pve.task("POST", f"{VM}/status/{change}") == "OK"
        eventually(lambda wanted=wanted: pve.get("/cluster/resources", type="vm")[0]["status"] == wanted)


def test_resources_without_lag_show_everything(vm: Client) -> None:
    vm.do("PUT", f"{VM}/config", tags="web")
    kinds = {one["id"]: one for one in vm.get("/cluster/resources")}
    assert list(kinds) == ["qemu/100", "node/pve1", "storage/pve1/local"]
    assert {"status": "stopped", "name": "vm100", "tags": "web", "template": 0}.items() <= kinds["qemu/100"].items()


def test_tasks_take_their_time(simulate: Simulate) -> None:
    pve = simulate(task_seconds={"qmcreate": 10, "qmstart": 1e6})
    begin = time.monotonic()
    assert pve.task("POST", "/nodes/pve1/qemu", vmid=100) == "OK"
    assert time.monotonic() - begin >= 0.2
    assert pve.task("POST", "/nodes/pve1/qemu", vmid=101) == "OK"
    upids = {pve.do("POST", f"/nodes/pve1/qemu/{vmid}/status/start") for vmid in (100, 101)}
    assert {one["upid"] for one in pve.get("/nodes/pve1/tasks", source="active")} == upids  # at the same time
    held = pve.call("PUT", "/nodes/pve1/qemu/101/config", onboot=1)
    assert held.error[1].endswith("got timeout")  # it holds the lock of the VM
    for upid in upids:
        pve.do("DELETE", f"/nodes/pve1/tasks/{upid}")
        assert pve.wait(upid) == "received interrupt"


def test_copies_take_their_time(simulate: Simulate, image: bytes) -> None:
    pve = simulate(copy_seconds=10 * 128)  # the image has 8 MiB
    begin = time.monotonic()
    create_vm(pve, image)
    assert time.monotonic() - begin >= 0.2
    begin = time.monotonic()
    pve.do("PUT", f"{VM}/config", scsi2="local:0,import-from=local:import/sys.qcow2")
    assert time.monotonic() - begin >= 0.2


def test_the_manager_carries_requests_out(simulate: Simulate) -> None:
    pve = simulate(ha_seconds=1)
    assert pve.task("POST", "/nodes/pve1/qemu", vmid=100, scsi0="local:1") == "OK"
    pve.do("POST", "/cluster/ha/resources", sid="vm:100", state="stopped")
    assert pve.do("POST", f"{VM}/status/start").split(":")[5] == "hastart"

    def settled(status: str, state: str) -> bool:
        told = pve.get(f"{VM}/status/current")
        return (told["status"], told["ha"]["state"]) == (status, state)

    eventually(lambda: settled("running", "started"))
    pve.do("PUT", "/cluster/ha/resources/vm:100", state="disabled")
    eventually(lambda: settled("stopped", "stopped"))
    refused = pve.call("DELETE", VM)
    assert refused.error == (500, "unable to remove VM 100 - used in HA resources and purge parameter not set.")
    assert pve.task("DELETE", VM, purge=1) == "OK"


def test_a_started_vm_boots_its_disk(simulate: Simulate) -> None:
    pve = simulate(boot=True)
    assert pve.upload(BOOT_SECTOR.ljust(1 << 20, b"\0"), "boot.raw") == "OK"
    disk = "local:0,import-from=local:import/boot.raw,format=qcow2,serial=abc"
    options = {"memory": 32, "smbios1": "serial=Y29tcG9zZQ==,base64=1", "net0": "virtio,bridge=vmbr0"}
    assert pve.task("POST", "/nodes/pve1/qemu", vmid=100, virtio0=disk, boot="order=virtio0", **options) == "OK"
    assert pve.task("POST", f"{VM}/status/start") == "OK"
    console = pve.cluster.state / "run" / "100.console"
    eventually(lambda: console.exists() and b"BOOTED" in console.read_bytes())
    pid = pve.get(f"{VM}/status/current")["pid"]
    command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    assert "type=1,uuid" not in command and "type=1,serial=compose" in command
    assert pve.task("PUT", f"{VM}/resize", disk="virtio0", size="+1M") == "OK"
    assert pve.task("POST", f"{VM}/snapshot", snapname="live") == "OK"  # of an image that QEMU has open
    assert pve.task("DELETE", f"{VM}/snapshot/live") == "OK"
    assert pve.task("POST", f"{VM}/status/shutdown", timeout=5, forceStop=1) == "OK"
    assert not Path(f"/proc/{pid}").exists()
    assert pve.get(f"{VM}/status/current")["status"] == "stopped"


def test_a_machine_that_dies_is_seen(simulate: Simulate) -> None:
    pve = simulate(boot=True)
    assert pve.task("POST", "/nodes/pve1/qemu", vmid=100, args=None) == "OK"
    file = pve.cluster.state / "etc/nodes/pve1/qemu-server/100.conf"
    file.write_text(file.read_text() + "args: -no-such-option\n")
    with pytest.raises(AssertionError):
        assert pve.task("POST", f"{VM}/status/start") == "OK"
    assert pve.get(f"{VM}/status/current")["status"] == "stopped"
    assert "-no-such-option" in pve.get("/nodes/pve1/tasks")[0]["status"]
