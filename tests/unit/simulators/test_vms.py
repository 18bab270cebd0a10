"""What VMs are made of, and become: options, pending changes, templates, snapshots with memory, many at once."""

from __future__ import annotations

import typing as t

from .conftest import Client, volumes

QEMU = "/nodes/pve1/qemu"
VM = f"{QEMU}/100"
KEY = "ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl%20a"


def pending(pve: Client) -> dict[str, t.Any]:
    """Key → what is pending."""
    listed = pve.get(f"{VM}/pending")
    return {one["key"]: one.get("pending", "deleted") for one in listed if "pending" in one or "delete" in one}


def test_reverting_a_removal_leaves_the_boot_order(vm: Client) -> None:
    vm.do("PUT", f"{VM}/config", boot="order=scsi0;scsi1", hotplug="network")
    assert vm.task("POST", f"{VM}/status/start") == "OK"
    vm.do("PUT", f"{VM}/config", delete="scsi1")
    assert pending(vm) == {"boot": "order=scsi0", "scsi1": "deleted"}
    assert "scsi1" not in vm.config()
    vm.do("PUT", f"{VM}/config", revert="scsi1")
    assert pending(vm) == {"boot": "order=scsi0"}
    vm.do("PUT", f"{VM}/config", revert="boot")
    assert pending(vm) == {}


def test_options_of_running_vms(vm: Client) -> None:
    assert vm.task("POST", f"{VM}/status/start") == "OK"
    vm.do("PUT", f"{VM}/config", cores=2, name="other", cpulimit=1, scsi1=f"{volumes(vm.config())['scsi1']},discard=on")
    assert pending(vm) == {"cores": 2, "scsi1": "local:100/vm-100-disk-1.qcow2,discard=on,size=1G"}
    assert vm.task("POST", f"{VM}/status/reboot", timeout=1) == "VM quit/powerdown failed - got timeout"
    assert vm.task("POST", f"{VM}/status/stop") == "OK"
    assert pending(vm) == {}


def test_a_cloud_init_drive(vm: Client) -> None:
    vm.do(
        "PUT", f"{VM}/config", ide2="local:cloudinit", ciuser="x", ipconfig0="ip=dhcp", sshkeys=KEY, cipassword="secret"
    )
    config = vm.config()
    assert config["ide2"] == "local:100/vm-100-cloudinit.qcow2,media=cdrom"
    assert (config["boot"], config["cipassword"]) == ("order=scsi0", "**********")
    second = vm.call("PUT", f"{VM}/config", ide0="local:cloudinit")
    assert second.error == (500, "ide0 - cloud-init drive is already attached at 'ide2'")
    assert vm.call("PUT", f"{VM}/config", sshkeys="x").error == (500, "SSH public key validation error")
    vm.do("PUT", f"{VM}/cloudinit")
    vm.do("PUT", f"{VM}/config", delete="ide2")
    assert [key for key in vm.config() if key.startswith("unused")] == []


def test_a_snapshot_with_memory(vm: Client) -> None:
    assert vm.task("POST", f"{VM}/status/start") == "OK"
    assert vm.task("POST", f"{VM}/snapshot", snapname="ram", vmstate=1) == "OK"
    state = vm.get(f"{VM}/snapshot/ram/config")["vmstate"]
    assert state == "local:100/vm-100-state-ram.raw"
    assert vm.task("POST", f"{VM}/status/stop") == "OK"
    assert vm.task("POST", f"{VM}/snapshot/ram/rollback") == "OK"
    assert vm.get(f"{VM}/status/current")["status"] == "running"
    assert vm.task("DELETE", f"{VM}/snapshot/ram") == "OK"
    assert state not in [one["volid"] for one in vm.get("/nodes/pve1/storage/local/content")]


def test_templates_and_clones(vm: Client) -> None:
    assert vm.task("POST", f"{VM}/template") == "OK"
    again = vm.call("POST", f"{VM}/template")
    assert again.error == (500, "you can't convert a template to a template")
    refused = vm.call("POST", f"{VM}/clone", newid=101, storage="local")
    assert refused.error == (500, "parameter 'storage' not allowed for linked clones")
    assert vm.task("POST", f"{VM}/clone", newid=101, name="linked") == "OK"
    assert vm.task("POST", f"{VM}/clone", newid=102, full=1, format="raw") == "OK"
    assert volumes(vm.config(101))["scsi0"] == "local:100/base-100-disk-0.qcow2/101/vm-101-disk-0.qcow2"
    assert volumes(vm.config(102))["scsi0"] == "local:102/vm-102-disk-0.raw"
    assert vm.config(102)["name"] == "Copy-of-VM-vm100"
    assert vm.call("POST", f"{VM}/clone", newid=102).error[1].endswith("config file already exists")
    used = vm.task("DELETE", "/nodes/pve1/storage/local/content/local:100/base-100-disk-0.qcow2")
    assert used == "base volume '100/base-100-disk-0.qcow2' is still in use by linked clones"
    linked = vm.call("POST", f"{QEMU}/102/clone", newid=103, full=0)
    assert linked.error[1] == "Linked clone feature is not supported for 'local:102/vm-102-disk-0.raw' (scsi0)"


def test_disks_that_cannot_move(vm: Client) -> None:
    assert vm.task("POST", QEMU, vmid=101, scsi0="local:1") == "OK"
    move = f"{VM}/move_disk"
    missing = "both 'storage' and 'target-vmid' missing, either needs to be set"
    assert vm.call("POST", move, disk="scsi0").body["errors"] == {"storage": missing, "target-vmid": missing}
    assert vm.call("POST", move, disk="scsi9", storage="local").error == (500, "disk 'scsi9' does not exist")
    same = vm.call("POST", move, disk="scsi0", storage="local")
    assert same.error == (500, "you can't move to the same storage with same format")
    assert vm.call("POST", move, disk="scsi0", target__vmid=999).error == (500, "could not find target VM 999")
    taken = vm.call("POST", move, disk="scsi0", target__vmid=101)
    assert taken.error == (500, "Target disk key 'scsi0' is already in use for VM '101'")
    assert vm.task("POST", f"{VM}/status/start") == "OK"
    running = vm.call("POST", move, disk="scsi1", target__vmid=101)
    assert running.error == (500, "Cannot move disk to another VM while the source VM is running - detach first")


def test_a_paused_vm_cannot_shut_down(vm: Client) -> None:
    assert vm.task("POST", f"{VM}/status/start") == "OK"
    assert vm.task("POST", f"{VM}/status/suspend") == "OK"
    assert vm.get(f"{VM}/status/current")["qmpstatus"] == "paused"
    assert vm.call("POST", f"{VM}/status/shutdown").error == (500, "VM is paused - cannot shutdown")
    assert vm.task("POST", f"{VM}/status/resume") == "OK"


def test_a_stop_overrules_a_shutdown(vm: Client) -> None:
    assert vm.task("POST", f"{VM}/status/start") == "OK"
    waiting = vm.do("POST", f"{VM}/status/shutdown", timeout=600)
    assert vm.task("POST", f"{VM}/status/stop", overrule__shutdown=1) == "OK"
    assert vm.wait(waiting) == "received interrupt"


def test_many_vms_at_once(pve: Client) -> None:
    for vmid in (100, 101):
        assert pve.task("POST", QEMU, vmid=vmid) == "OK"
    assert pve.task("POST", "/cluster/bulk-action/guest/start", vms=[100, 101]) == "OK"
    assert {one["status"] for one in pve.get(QEMU)} == {"running"}
    failed = pve.task("POST", "/cluster/bulk-action/guest/shutdown", vms=[100, 101], timeout=1, force__stop=0)
    assert failed == "Some guests failed to shutdown 100, 101"
    assert pve.task("POST", "/nodes/pve1/stopall", timeout=1) == "OK"
    assert {one["status"] for one in pve.get(QEMU)} == {"stopped"}
