"""System disks are imported, cloned, swapped, detached and destroyed as a real node does it."""

from __future__ import annotations

import io

import pytest

from .conftest import Client, Simulate, create_vm, volumes, write_guest

VM = "/nodes/pve1/qemu/100"
IMPORT = "local:0,import-from=local:import/sys.qcow2"
BOOT_DISK = "400 Parameter verification failed. scsi0: hotplug problem - can't unplug bootdisk 'scsi0' "


def start(pve: Client) -> None:
    assert pve.task("POST", f"{VM}/status/start") == "OK"


def stop(pve: Client) -> None:
    assert pve.task("POST", f"{VM}/status/stop") == "OK"


def test_swap_of_a_stopped_vm_keeps_the_old_disk(vm: Client) -> None:
    before = volumes(vm.config())
    assert vm.task("POST", f"{VM}/config", scsi0=f"{IMPORT},serial=new") == "OK"
    config = vm.config()
    assert volumes(config) == {**before, "scsi0": "local:100/vm-100-disk-2.qcow2", "unused0": before["scsi0"]}
    assert config["scsi0"].endswith(",serial=new,size=8M")
    assert config["boot"] == "order=scsi0"
    vm.do("PUT", f"{VM}/config", scsi0=f"{before['scsi0']},serial=old")
    assert volumes(vm.config()) == {**before, "unused0": "local:100/vm-100-disk-2.qcow2"}


def test_a_detached_boot_disk_empties_the_boot_order(vm: Client) -> None:
    volume = volumes(vm.config())["scsi0"]
    vm.do("PUT", f"{VM}/config", delete="scsi0")
    assert (vm.config()["boot"], vm.config()["unused0"]) == (" ", volume)
    vm.do("PUT", f"{VM}/config", scsi0=volume)
    assert vm.config()["boot"] == " "
    refused = vm.call("PUT", f"{VM}/config", boot="order=virtio7")
    assert refused.error == (500, "invalid bootorder: device 'virtio7' does not exist'")


def test_swap_of_a_running_boot_disk_fails_and_stays_pending(vm: Client) -> None:
    start(vm)
    before = volumes(vm.config())
    assert vm.task("POST", f"{VM}/config", scsi0=f"{IMPORT},serial=new") == BOOT_DISK
    assert volumes(vm.config(current=1)) == before
    pending = [one for one in vm.get(f"{VM}/pending") if "pending" in one]
    assert [(one["key"], "serial=new" in one["pending"]) for one in pending] == [("scsi0", True)]
    stop(vm)
    assert volumes(vm.config())["unused0"] == before["scsi0"]
    assert "serial=new" in vm.config(current=1)["scsi0"]


def test_without_disk_hotplug_a_swap_waits(vm: Client) -> None:
    vm.do("PUT", f"{VM}/config", hotplug="network,usb")
    start(vm)
    assert vm.task("POST", f"{VM}/config", scsi0=f"{IMPORT},serial=new") == "OK"
    assert "serial=old" in vm.config(current=1)["scsi0"]


def test_staging_on_a_sata_slot_of_a_running_vm(vm: Client) -> None:
    start(vm)
    running = vm.config(current=1)
    assert vm.task("POST", f"{VM}/config", sata5=IMPORT) == "OK"
    vm.do("PUT", f"{VM}/config", delete="sata5")
    config = vm.config(current=1)
    assert volumes(config) == {**volumes(running), "unused0": "local:100/vm-100-disk-2.qcow2"}
    assert not [one for one in vm.get(f"{VM}/pending") if "pending" in one or "delete" in one]


def test_staging_by_linked_clone_and_reassignment_while_the_vm_runs(vm: Client) -> None:
    for path, more in (("/nodes/pve1/qemu", {"vmid": 9000, "scsi0": IMPORT}), ("/nodes/pve1/qemu/9000/template", {})):
        assert vm.task("POST", path, **more) == "OK"
    start(vm)
    assert vm.task("POST", "/nodes/pve1/qemu/9000/clone", newid=8000) == "OK"
    move = {"disk": "scsi0", "target__vmid": 100, "target__disk": "unused0"}
    assert vm.task("POST", "/nodes/pve1/qemu/8000/move_disk", **move) == "OK"
    volume = "local:9000/base-9000-disk-0.qcow2/100/vm-100-disk-2.qcow2"
    assert vm.config()["unused0"] == volume
    stop(vm)
    vm.do("PUT", f"{VM}/config", scsi0=f"{volume},serial=new")
    assert volumes(vm.config())["scsi0"] == volume
    start(vm)
    used = "base volume 'local:9000/base-9000-disk-0.qcow2' is still in use by linked cloned"
    assert vm.task("DELETE", "/nodes/pve1/qemu/9000") == used
    stop(vm)
    assert vm.task("DELETE", VM) == "OK"
    assert vm.task("DELETE", "/nodes/pve1/qemu/9000") == "OK"


def test_unused_volumes_are_destroyed_only_when_nothing_needs_them(vm: Client) -> None:
    assert vm.task("POST", f"{VM}/snapshot", snapname="before") == "OK"
    assert vm.task("POST", f"{VM}/config", scsi0=IMPORT) == "OK"
    old = vm.config()["unused0"]
    kept = vm.call("PUT", f"{VM}/unlink", idlist="unused0")
    assert kept.error == (500, f"unable to delete '{old}' - volume is still in use (snapshot?)")
    assert vm.task("POST", f"{VM}/snapshot/before/rollback") == "OK"
    config = vm.config()
    assert volumes(config)["scsi0"] == old and config["parent"] == "before"
    assert vm.task("DELETE", f"{VM}/snapshot/before") == "OK"
    key = next(key for key in vm.config() if key.startswith("unused"))
    new = vm.config()[key]
    vm.do("PUT", f"{VM}/unlink", idlist=key)
    listed = vm.get("/nodes/pve1/storage/local/content", content="images", vmid=100)
    assert new not in [one["volid"] for one in listed]


def test_force_destroys_at_once_and_protection_prevents(vm: Client) -> None:
    vm.do("PUT", f"{VM}/config", protection=1)
    refused = vm.call("PUT", f"{VM}/unlink", idlist="scsi1", force=1)
    assert refused.error == (500, "can't remove drive 'scsi1' - protection mode enabled")
    assert vm.task("POST", f"{VM}/config", scsi0=IMPORT) == "OK"  # a swap is not prevented
    vm.do("PUT", f"{VM}/config", protection=0)
    vm.do("PUT", f"{VM}/unlink", idlist="scsi1", force=1)
    assert list(volumes(vm.config())) == ["scsi0", "unused0"]


def test_a_volume_of_another_vm_leaves_no_unused_entry(vm: Client) -> None:
    assert vm.task("POST", "/nodes/pve1/qemu", vmid=101, scsi0="local:1") == "OK"
    vm.do("PUT", f"{VM}/config", scsi5="local:101/vm-101-disk-0.raw")
    vm.do("PUT", f"{VM}/config", delete="scsi5")
    assert list(volumes(vm.config())) == ["scsi0", "scsi1"]


def test_raw_images_stay_raw_and_cannot_be_snapshotted(pve: Client) -> None:
    assert pve.upload(b"\0" * 65536, "disk.raw") == "OK"
    assert pve.task("POST", "/nodes/pve1/qemu", vmid=100, scsi0="local:0,import-from=local:import/disk.raw") == "OK"
    assert pve.config()["scsi0"] == "local:100/vm-100-disk-0.raw,size=64K"
    assert pve.task("POST", f"{VM}/snapshot", snapname="no") == "snapshot feature is not available"
    failed = pve.task(
        "POST", "/nodes/pve1/qemu", vmid=101, scsi1="local:1", scsi0="local:0,import-from=local:import/x.raw"
    )
    assert failed == "unable to create VM 101 - failed to stat '/var/lib/vz/import/x.raw'"
    assert pve.get("/nodes/pve1/storage/local/content", content="images", vmid=101) == []


def test_uploads(pve: Client, image: bytes) -> None:
    path = "/nodes/pve1/storage/local/upload"

    def send(name: str, data: bytes, **fields: str) -> str | tuple[int, str]:
        answer = pve.call("POST", path, files={"filename": (name, io.BytesIO(data))}, content="import", **fields)
        return pve.wait(answer.data) if answer.status == 200 else answer.error

    assert send("a b+c@1.qcow2", image) == "OK"
    assert [one["volid"] for one in pve.get("/nodes/pve1/storage/local/content")] == ["local:import/a_b_c_1.qcow2"]
    mismatch = send("a_b_c_1.qcow2", b"other", checksum__algorithm="md5", checksum="00")
    assert mismatch == "checksum mismatch: got '795f3202b17cb6bc3d4b771d8c6c9eaf' != expect '00'"
    assert pve.get("/nodes/pve1/storage/local/content")[0]["size"] == len(image)  # the old file stays
    assert send("sys.qcow2", image, checksum="00", checksum__algorithm="md5") == (400, "Bad Request")
    assert send("sys.qcow2", image, node="pve1") == (400, "Bad Request")
    assert send("sys.tgz", image) == (400, "filename: invalid filename or wrong extension")
    assert "Image is not in qcow2 format" in str(send("sys.qcow2", b"x" * 70000))
    pve.do("PUT", "/storage/local", content="images")
    assert send("sys.qcow2", image) == (500, "storage 'local' does not support 'import' content")


def test_volumes_of_block_storages(simulate: Simulate, image: bytes) -> None:
    ceph = {"type": "rbd", "shared": 1, "pool": "vms", "content": "images"}
    local = {"type": "dir", "path": "/var/lib/vz", "content": "import"}
    pve = simulate(nodes=["pve1", "pve2"], storages={"local": local, "ceph": ceph})
    create_vm(pve, image, storage="ceph")
    assert volumes(pve.config()) == {"scsi0": "ceph:vm-100-disk-0", "scsi1": "ceph:vm-100-disk-1"}
    name = {"vmid": 100, "filename": "vm-100-sys-20261124-3f2a9c", "size": "8M"}
    volume = pve.call("POST", "/nodes/pve2/storage/ceph/content", **name).data
    assert pve.call("POST", "/nodes/pve2/storage/ceph/content", **{**name, "filename": "sys"}).error[0] == 500
    pve.do("PUT", f"{VM}/config", scsi0=volume)
    assert pve.config()["unused0"] == "ceph:vm-100-disk-0"
    assert pve.task("POST", f"{VM}/snapshot", snapname="one") == "OK"
    assert pve.task("POST", f"{VM}/migrate", target="pve2") == "OK"
    assert pve.get("/nodes/pve2/qemu/100/config")["scsi0"].startswith(volume)
    assert pve.call("GET", f"{VM}/config").error[0] == 500


@pytest.mark.parametrize(("size", "result"), [("+1G", "OK"), ("1M", "shrinking disks is not supported")])
def test_resize(vm: Client, size: str, result: str) -> None:
    assert vm.task("PUT", f"{VM}/resize", disk="scsi1", size=size) == result
    assert vm.config()["scsi1"].endswith("size=2G" if result == "OK" else "size=1G")


def test_digests(vm: Client) -> None:
    digest = vm.config()["digest"]
    vm.do("PUT", f"{VM}/config", description="x", digest=digest)
    stale = vm.call("PUT", f"{VM}/config", description="y", digest=digest)
    assert stale.error == (500, "checksum mismatch (file change by other user?)")
    moved = vm.call("POST", f"{VM}/move_disk", disk="scsi1", storage="local", format="raw", digest=digest)
    assert moved.error == (500, "detected modified configuration - file changed by other user? Try again.")
    file = vm.cluster.state / "etc/nodes/pve1/qemu-server/100.conf"
    digest = vm.config()["digest"]
    file.write_text(file.read_text() + "onboot: 1\n")  # somebody edits the file
    assert vm.call("PUT", f"{VM}/config", description="y", digest=digest).status == 500
    assert vm.config()["onboot"] == 1


def test_a_locked_vm(vm: Client) -> None:
    file = vm.cluster.state / "etc/nodes/pve1/qemu-server/100.conf"
    file.write_text(file.read_text() + "lock: backup\n")
    locked = "VM is locked (backup)"
    assert vm.call("PUT", f"{VM}/config", description="y").error == (500, locked)
    assert vm.task("POST", f"{VM}/status/start") == locked
    assert vm.task("POST", f"{VM}/snapshot", snapname="one") == locked
    assert vm.task("DELETE", VM) == locked
    assert vm.call("PUT", f"{VM}/config", delete="lock").error == (500, "only root can set 'lock' config")
    assert vm.call("PUT", f"{VM}/config", skiplock=1, description="y").error == (
        400,
        "skiplock: Only root may use this option.",
    )


def test_guests_and_the_agent(vm: Client) -> None:
    agent = f"{VM}/agent"
    assert vm.call("POST", f"{agent}/ping").error == (500, "No QEMU guest agent configured")
    vm.do("PUT", f"{VM}/config", agent="1")
    assert vm.call("POST", f"{agent}/ping").error == (500, "VM 100 is not running")
    start(vm)
    assert vm.call("POST", f"{agent}/ping").error == (500, "QEMU guest agent is not running")
    assert vm.task("POST", f"{VM}/status/shutdown", timeout=2) == "VM quit/powerdown failed - got timeout"
    address = {"name": "eth0", "ip-addresses": [{"ip-address": "192.0.2.7", "ip-address-type": "ipv4", "prefix": 24}]}
    write_guest(vm, 100, agent=0, shutdown=1, interfaces=[address], files={"/etc/image": "{serial}\n"})
    assert vm.call("POST", f"{agent}/ping").data == {"result": {}}
    assert vm.get(f"{agent}/network-get-interfaces") == {"result": [address]}
    pid = vm.call("POST", f"{agent}/exec", command=["cat", "/etc/image"]).data["pid"]
    assert vm.get(f"{agent}/exec-status", pid=pid) == {"exited": 1, "exitcode": 0, "out-data": "old\n"}
    assert vm.call("GET", f"{agent}/exec-status", pid=1).error == (500, "Agent error: Invalid parameter 'pid'")
    assert vm.get(f"{agent}/file-read", file="/etc/image") == {"content": "old\n"}
    assert vm.task("POST", f"{VM}/status/shutdown", timeout=60) == "OK"
    assert vm.get(f"{VM}/status/current")["status"] == "stopped"
