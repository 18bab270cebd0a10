"""What a node refuses, slows down or gives up on, as it was seen on a real one (pve-manager 9.2.11)."""

from __future__ import annotations

import typing as t

import pytest

from .conftest import CONTENT, Client, create_vm, eventually, volumes

Simulate = t.Callable[..., Client]
VM = "/nodes/pve1/qemu/100"
BTRFS = {
    "local": {"type": "dir", "path": "/var/lib/vz", "content": CONTENT},
    "fast": {"type": "btrfs", "path": "/srv/fast", "content": CONTENT},
}


def test_a_vm_whose_bridge_is_missing_does_not_start(simulate: Simulate) -> None:
    pve = simulate(nodes=["pve1", "pve2"], bridges={"pve1": ["vmbr0", "vmbr1"]})
    assert [one["iface"] for one in pve.get("/nodes/pve1/network", type="any_bridge")] == ["vmbr0", "vmbr1"]
    assert [one["iface"] for one in pve.get("/nodes/pve2/network", type="any_bridge")] == ["vmbr0"]
    assert pve.get("/nodes/pve1/network", type="bond") == []
    assert (
        pve.task("POST", "/nodes/pve1/qemu", vmid=100, net0="virtio,bridge=vmbr1", net1="virtio,bridge=vmbr7") == "OK"
    )
    upid = pve.do("POST", f"{VM}/status/start")
    assert pve.wait(upid) == "start failed: QEMU exited with code 1"
    log = [line["t"] for line in pve.get(f"/nodes/pve1/tasks/{upid}/log")]
    assert "bridge 'vmbr7' does not exist" in log
    pve.do("PUT", f"{VM}/config", delete="net1")
    assert pve.task("POST", f"{VM}/status/start") == "OK"


def test_only_bridges_that_the_user_may_use_are_listed(simulate: Simulate) -> None:
    pve = simulate(bridges={"pve1": ["vmbr0", "vmbr1", "vmbr2"]})
    pve.do("POST", "/access/users", userid="deploy@pve")
    for path in ("/sdn/zones/localnetwork/vmbr0", "/sdn/zones/localnetwork/vmbr2/20"):
        pve.do("PUT", "/access/acl", path=path, roles="PVESDNUser", users="deploy@pve")
    token = pve.do("POST", "/access/users/deploy@pve/token/compose", privsep=0)
    deploy = Client(pve.server, f"{token['full-tokenid']}={token['value']}")
    assert [one["iface"] for one in deploy.get("/nodes/pve1/network", type="any_bridge")] == ["vmbr0", "vmbr2"]


def test_a_call_that_takes_too_long_is_answered_with_596_and_carried_out(simulate: Simulate) -> None:
    pve = simulate(allocate_seconds=8)
    pve.task("POST", "/nodes/pve1/qemu", vmid=100)
    assert pve.call("PUT", f"{VM}/config", virtio1="local:2000,format=qcow2").status == 200  # 16 s
    assert pve.call("PUT", f"{VM}/config", virtio2="local:6000,format=qcow2").status == 596  # 47 s
    assert "virtio2" not in pve.config()
    drive = eventually(lambda: pve.config().get("virtio2"))
    assert drive.endswith("size=6000G")
    assert pve.task("POST", f"{VM}/config", virtio3="local:6000,format=qcow2") == "OK"  # a task may take its time


def test_btrfs_has_no_qcow2_but_clones_and_snapshots(simulate: Simulate, image: bytes) -> None:
    pve = simulate(storages=BTRFS)
    create_vm(pve, image, storage="fast")  # of the storage's own format
    assert {volume.rpartition(".")[2] for volume in volumes(pve.config()).values()} == {"raw"}
    refused = pve.call("PUT", f"{VM}/config", virtio1="fast:1,format=qcow2")
    assert refused.error == (500, "unsupported format 'qcow2'")
    assert pve.task("POST", f"{VM}/snapshot", snapname="before") == "OK"
    assert pve.task("DELETE", f"{VM}/snapshot/before") == "OK"
    assert pve.task("POST", f"{VM}/template") == "OK"
    assert volumes(pve.config())["scsi0"] == "fast:100/base-100-disk-0.raw"
    assert pve.task("POST", f"{VM}/clone", newid=101) == "OK"
    assert volumes(pve.config(101))["scsi0"] == "fast:101/vm-101-disk-0.raw"
    assert pve.task("DELETE", VM) == "OK"  # the clone is one of its own


@pytest.mark.parametrize("storage", [True, False])
def test_a_bandwidth_limit_holds(simulate: Simulate, image: bytes, storage: bool) -> None:
    local = {"type": "dir", "path": "/var/lib/vz", "content": CONTENT}
    other = {**local, "path": "/srv/other", **({"bwlimit": "move=4096"} if storage else {})}
    pve = simulate(storages={"local": local, "other": other})
    create_vm(pve, image)
    limit = {} if storage else {"bwlimit": 4096}
    before = pve.cluster.clock.time()
    assert pve.task("POST", f"{VM}/move_disk", disk="scsi0", storage="other", **limit) == "OK"
    assert pve.cluster.clock.time() - before >= 2 * pve.cluster.clock.pace  # 8 MiB of it


def test_what_a_storage_lists_for_a_vm_includes_images_for_import(pve: Client, image: bytes) -> None:
    create_vm(pve, image)
    found = {one["volid"] for one in pve.get("/nodes/pve1/storage/local/content", vmid=100)}
    assert found == {"local:import/sys.qcow2", "local:100/vm-100-disk-0.qcow2", "local:100/vm-100-disk-1.qcow2"}


def test_line_feeds_at_the_end_of_a_description_are_dropped(pve: Client) -> None:
    pve.task("POST", "/nodes/pve1/qemu", vmid=100, description="two\nlines\n\n")
    assert pve.config()["description"].strip("\n") == "two\nlines"
    raw = (pve.cluster.state / "etc" / "nodes" / "pve1" / "qemu-server" / "100.conf").read_text()
    assert raw.startswith("#two\n#lines\n") and "\n#\n" not in raw


def test_a_refused_removal_of_a_base_stays_pending(pve: Client, image: bytes) -> None:
    create_vm(pve, image)
    assert pve.task("POST", f"{VM}/template") == "OK"
    assert pve.task("POST", f"{VM}/clone", newid=101) == "OK"
    assert "still in use by linked clones" in pve.task("POST", f"{VM}/config", delete="scsi0", force=1)
    assert "scsi0" not in pve.config() and "scsi0" in pve.config(current=1)
    waiting = {one["key"]: one for one in pve.get(f"{VM}/pending")}
    assert waiting["scsi0"]["delete"] == 2
    children = [one["volid"] for one in pve.get("/nodes/pve1/storage/local/content", content="images", vmid=101)]
    assert any(volume.startswith("local:100/base-100-disk-0.qcow2/101/") for volume in children)
    pve.do("PUT", f"{VM}/config", revert="scsi0")
    assert "scsi0" in pve.config()


def test_a_node_starts_what_has_onboot(pve: Client) -> None:
    for vmid, onboot in ((100, 1), (101, 0), (102, 1)):
        pve.task("POST", "/nodes/pve1/qemu", vmid=vmid, onboot=onboot)
    assert pve.task("POST", "/nodes/pve1/startall") == "OK"
    assert [pve.cluster.guests.running(vmid) for vmid in (100, 101, 102)] == [True, False, True]
