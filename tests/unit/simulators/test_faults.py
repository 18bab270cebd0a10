"""Faults on demand."""

from __future__ import annotations

import json
import threading
import time

import pytest
import requests

from .conftest import Client, Simulate, create_vm, eventually

VM = "/nodes/pve1/qemu/100"


def faults(pve: Client, *new: dict[str, object]) -> None:
    """Replaces all faults, by the file that anybody may write."""
    (pve.cluster.state / "faults.json").write_text(json.dumps(new))


def test_the_connection_breaks_during_an_upload(pve: Client, image: bytes) -> None:
    control = f"{pve.server.url}/control/faults"
    fault = {"kind": "reset", "path": "/upload$", "bytes": 1 << 16, "times": 1}
    assert pve.session.put(control, json=[fault]).json() == [fault]
    with pytest.raises(requests.ConnectionError):
        pve.upload(image + b"\0" * (8 << 20))
    assert pve.get("/nodes/pve1/storage/local/content") == []
    assert list((pve.cluster.state / "tmp").iterdir()) == []
    assert pve.upload(image) == "OK"
    assert pve.session.delete(control).json() == []
    assert pve.session.put(control, json=[{"kind": "flood"}]).status_code == 400


def test_a_call_fails(vm: Client) -> None:
    faults(vm, {"kind": "http", "method": "PUT", "path": "/config$", "status": 500, "message": "oops", "times": 1})
    assert vm.call("PUT", f"{VM}/config", cores=2).error == (500, "oops")
    assert vm.call("GET", f"{VM}/config").status == 200
    assert "cores" not in vm.config()
    vm.do("PUT", f"{VM}/config", cores=2)


def test_an_answer_is_lost_after_the_call_was_carried_out(vm: Client) -> None:
    faults(vm, {"kind": "reset", "method": "PUT", "answer": True, "times": 1})
    with pytest.raises(requests.ConnectionError):
        vm.call("PUT", f"{VM}/config", cores=2)
    assert vm.config()["cores"] == 2


def test_a_call_fails_after_it_was_carried_out(vm: Client) -> None:
    late = {"status": 596, "message": "Connection timed out", "answer": True, "times": 1}
    faults(vm, {"kind": "http", "method": "PUT", "path": "/config$", **late})
    assert vm.call("PUT", f"{VM}/config", cores=2).error == (596, "Connection timed out")
    assert vm.config()["cores"] == 2


def test_a_fault_meets_one_vm_and_one_of_several_calls(pve: Client) -> None:
    faults(pve, {"kind": "http", "method": "POST", "vmid": 101, "skip": 1, "times": 1, "message": "oops"})
    assert [pve.task("POST", "/nodes/pve1/qemu", vmid=vmid) for vmid in (100, 101)] == ["OK", "OK"]
    assert pve.task("POST", "/nodes/pve1/qemu/100/template") == "OK"
    assert pve.call("POST", "/nodes/pve1/qemu/100/clone", newid=101).error == (500, "oops")
    assert pve.task("POST", "/nodes/pve1/qemu/100/clone", newid=102) == "OK"
    assert pve.task("POST", "/nodes/pve1/qemu/101/status/start") == "OK"


def test_a_fault_sleeps_until_a_call(vm: Client) -> None:
    second = {"method": "GET", "path": "/config$", "vmid": 100, "skip": 1}
    faults(vm, {"kind": "quorum", "on": second})
    vm.do("PUT", f"{VM}/config", cores=2)
    vm.config()
    vm.do("PUT", f"{VM}/config", cores=3)
    vm.config()
    assert vm.call("PUT", f"{VM}/config", cores=4).status == 500


def test_a_fault_passes(simulate: Simulate, image: bytes) -> None:
    pve = simulate(nodes=["pve1", "pve2"], pace=1)
    faults(pve, {"kind": "node", "node": "pve2", "on": {"path": "/version"}, "for": 1})
    assert pve.call("GET", "/nodes/pve2/qemu").status == 200
    begin = time.monotonic()
    pve.get("/version")
    eventually(lambda: pve.call("GET", "/nodes/pve2/qemu").status == 200)
    assert time.monotonic() - begin >= 0.9  # the computer's two clocks need not agree


def test_somebody_else_comes_first(vm: Client) -> None:
    digest = vm.config()["digest"]
    other = ["PUT", f"{VM}/config", {"description": "mine"}]
    faults(vm, {"kind": "call", "do": other, "on": {"method": "PUT", "vmid": 100}})
    stale = vm.call("PUT", f"{VM}/config", cores=2, digest=digest)
    assert stale.error == (500, "checksum mismatch (file change by other user?)")
    assert vm.config()["description"] == "mine"
    vm.do("PUT", f"{VM}/config", cores=2, digest=vm.config()["digest"])


def test_a_call_is_slow(pve: Client) -> None:
    faults(pve, {"kind": "delay", "path": "/version", "seconds": 10, "times": 1})
    begin = time.monotonic()
    pve.get("/version")
    assert time.monotonic() - begin >= 0.2


@pytest.mark.parametrize(("when", "cores"), [("begin", None), ("end", 2)])
def test_a_task_ends_in_an_error(vm: Client, when: str, cores: int | None) -> None:
    faults(vm, {"kind": "task", "type": "qmconfig", "id": "100", "error": "no space", "when": when, "times": 1})
    assert vm.task("POST", f"{VM}/config", cores=2) == "no space"
    assert vm.config().get("cores") == cores
    assert vm.task("POST", f"{VM}/config", cores=3) == "OK"


@pytest.mark.parametrize(("when", "cores"), [("begin", None), ("end", 2)])
def test_a_task_hangs_before_or_after_its_work(vm: Client, when: str, cores: int | None) -> None:
    faults(vm, {"kind": "task", "type": "qmconfig", "vmid": 100, "hang": True, "when": when})
    upid = vm.do("POST", f"{VM}/config", cores=2)
    if when == "end":
        eventually(lambda: "cores" in vm.config())
    else:  # it holds the lock of the VM
        eventually(lambda: vm.call("PUT", f"{VM}/config", onboot=1).error[1].endswith("got timeout"))
    assert vm.get(f"/nodes/pve1/tasks/{upid}/status")["status"] == "running"
    vm.do("DELETE", f"/nodes/pve1/tasks/{upid}")
    assert vm.wait(upid) == "received interrupt"
    assert vm.config().get("cores") == cores
    vm.do("PUT", f"{VM}/config", onboot=1)


def test_a_task_never_ends(vm: Client) -> None:
    faults(vm, {"kind": "task", "type": "qmstart", "hang": True, "times": 1})
    upid = vm.do("POST", f"{VM}/status/start")
    path = f"/nodes/pve1/tasks/{upid}"
    time.sleep(0.1)
    assert vm.get(f"{path}/status")["status"] == "running"
    assert [one["upid"] for one in vm.get("/nodes/pve1/tasks", source="active")] == [upid]
    vm.do("DELETE", path)
    assert vm.wait(upid) == "received interrupt"
    assert vm.get(f"{path}/log")[-1] == {"n": 1, "t": "TASK ERROR: received interrupt"}


def test_a_node_is_down(simulate: Simulate, image: bytes) -> None:
    ceph = {"type": "rbd", "shared": 1, "content": "images"}
    local = {"type": "dir", "path": "/var/lib/vz", "content": "import"}
    pve = simulate(nodes=["pve1", "pve2"], storages={"local": local, "ceph": ceph}, ha_seconds=1)
    create_vm(pve, image, storage="ceph")
    assert pve.task("POST", f"{VM}/status/start") == "OK"
    pve.do("POST", "/cluster/ha/resources", sid="vm:100", state="started")
    faults(pve, {"kind": "node", "node": "pve1"})
    assert pve.call("GET", f"{VM}/status/current").error == (595, "No route to host")
    assert [one["status"] for one in pve.get("/nodes")] == ["offline", "online"]
    eventually(lambda: pve.call("GET", "/nodes/pve2/qemu/100/status/current").status == 200)
    eventually(lambda: pve.get("/nodes/pve2/qemu/100/status/current")["status"] == "running")  # HA has moved it
    faults(pve)
    assert pve.get("/nodes/pve1/qemu") == []


def test_the_quorum_is_lost(vm: Client) -> None:
    faults(vm, {"kind": "quorum"})
    assert vm.call("POST", "/nodes/pve1/qemu", vmid=101).error == (500, "cluster not ready - no quorum?")
    assert vm.call("POST", f"{VM}/status/start").error == (500, "cluster not ready - no quorum?")
    status, text = vm.call("PUT", f"{VM}/config", cores=2).error
    assert status == 500 and text.endswith("Permission denied")
    assert vm.get("/cluster/status")[0]["online"] == 1
    faults(vm)
    assert "cores" not in vm.config()


def test_locks_time_out(vm: Client) -> None:
    faults(vm, {"kind": "lock", "vmid": 100})
    timeout = "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout"
    assert vm.call("PUT", f"{VM}/config", cores=2).error == (500, timeout)
    assert vm.task("POST", f"{VM}/status/start") == timeout
    faults(vm, {"kind": "lock", "storage": "local"})
    assert vm.task("POST", "/nodes/pve1/qemu", vmid=101, scsi0="local:1").startswith(
        "unable to create VM 101 - can't lock"
    )
    faults(vm, {"kind": "lock", "vmid": 100, "times": 2})
    assert [vm.call("PUT", f"{VM}/config", cores=2).status for dummy in range(3)] == [500, 500, 200]
    assert vm.task("POST", f"{VM}/status/start") == "OK"


def test_a_start_waits_for_a_clone_until_its_lock_times_out(simulate: Simulate, image: bytes) -> None:
    pve = simulate()
    create_vm(pve, image)
    entered = threading.Event()
    leave = threading.Event()

    def hold() -> None:
        with pve.cluster.locks.config(100, shared=True):
            entered.set()
            pve.cluster.clock.sleep(1000, leave)

    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    entered.wait()
    assert "got timeout" in pve.task("POST", f"{VM}/status/start")
    leave.set()
    holder.join()
    assert pve.task("POST", f"{VM}/status/start") == "OK"


def test_the_clock_jumps(vm: Client) -> None:
    before = vm.get("/nodes/pve1/time")["time"]
    faults(vm, {"kind": "clock", "seconds": 86400})
    assert vm.get("/nodes/pve1/time")["time"] >= before + 86400
    vm.task("POST", f"{VM}/status/start")
    assert vm.get("/nodes/pve1/tasks")[0]["starttime"] >= before + 86400
