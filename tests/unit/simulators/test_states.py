"""Calls of VMs that are missing, or in the wrong state (qemu-server: API2/Qemu.pm, QemuServer.pm, QemuConfig.pm)."""

from __future__ import annotations

import re
import typing as t

import pytest

from .conftest import Client, Simulate, volumes

QEMU = "/nodes/pve1/qemu"
VM = f"{QEMU}/100"
NO_FILE = "Configuration file 'nodes/pve1/qemu-server/299.conf' does not exist"
NO_VM = "unable to find configuration file for VM 299 on node 'pve1'"

MISSING: list[tuple[str, str, dict[str, object], str]] = [
    *(("POST", f"status/{verb}", {}, NO_VM) for verb in ("reset", "reboot", "suspend", "resume")),
    ("POST", "clone", {"newid": 300}, NO_VM),
    ("GET", "feature", {"feature": "copy"}, NO_VM),
    ("GET", "status", {}, NO_FILE),
    ("GET", "migrate", {}, NO_FILE),
    ("PUT", "cloudinit", {}, NO_FILE),
    ("PUT", "unlink", {"idlist": "scsi0"}, NO_FILE),
    ("POST", "vncproxy", {}, NO_FILE),
]


@pytest.mark.parametrize(("verb", "path", "parameters", "error"), MISSING)
def test_a_vm_that_is_missing(pve: Client, verb: str, path: str, parameters: dict[str, t.Any], error: str) -> None:
    assert pve.call(verb, f"{QEMU}/299/{path}", **parameters).error == (500, error)


def test_tasks_of_a_vm_that_is_missing(pve: Client) -> None:
    for verb, error in (("start", NO_FILE), ("stop", NO_VM), ("shutdown", NO_VM)):
        assert pve.task("POST", f"{QEMU}/299/status/{verb}") == error


def test_where_a_vm_cannot_go(simulate: Simulate, image: bytes) -> None:
    ceph = {"type": "rbd", "content": "images", "shared": 1, "nodes": "pve1"}
    pve = simulate(nodes=["pve1", "pve2"], storages={"ceph": ceph})
    assert pve.task("POST", QEMU, vmid=100, scsi0="ceph:1") == "OK"
    assert pve.call("POST", f"{VM}/migrate", target="pve1").error == (400, "target: target is local node.")
    assert pve.call("POST", f"{VM}/migrate", target="pve9").error == (500, "no such cluster node 'pve9'")
    forced = pve.call("POST", f"{VM}/migrate", target="pve2", force=1)
    assert forced.error == (400, "force: Only root may use this option.")
    blocked = pve.get(f"{VM}/migrate")["not_allowed_nodes"]
    assert blocked == {"pve2": {"unavailable_storages": ["ceph"]}}
    away = pve.call("POST", f"{VM}/migrate", target="pve2")
    assert away.error == (500, "storage 'ceph' is not available on node 'pve2'")
    assert pve.task("POST", f"{VM}/status/start") == "OK"
    running = pve.call("POST", f"{VM}/migrate", target="pve2")
    assert running.error == (500, "can't migrate running VM without --online")


def test_a_vm_that_is_put_away(vm: Client) -> None:
    assert vm.task("POST", f"{VM}/status/start") == "OK"
    assert vm.task("POST", f"{VM}/status/suspend", todisk=1) == "OK"
    assert vm.get(f"{VM}/status/current")["status"] == "stopped"
    state = vm.config()["vmstate"]
    assert vm.call("PUT", f"{VM}/config", cores=2).error == (500, "VM is locked (suspended)")
    assert vm.task("POST", f"{VM}/status/resume") == "OK"
    assert {"lock", "vmstate", "runningcpu"}.isdisjoint(vm.config())
    assert vm.task("POST", f"{VM}/status/suspend", todisk=1) == "OK"
    vm.do("PUT", f"{VM}/config", delete="vmstate")
    assert {"lock", "vmstate", "runningcpu"}.isdisjoint(vm.config())
    assert state not in [one["volid"] for one in vm.get("/nodes/pve1/storage/local/content")]


def test_a_cloud_init_drive_is_made_anew(vm: Client) -> None:
    vm.do("PUT", f"{VM}/config", ide2="local:cloudinit", ciuser="me")
    vm.do("POST", "/storage", storage="fast", type="dir", path="/srv/fast", content="images")
    assert vm.task("POST", f"{VM}/move_disk", disk="ide2", storage="fast") == "OK"
    assert volumes(vm.config())["ide2"] == "fast:100/vm-100-cloudinit.qcow2"
    assert [key for key in vm.config() if key.startswith("unused")] == []
    assert vm.task("POST", f"{VM}/snapshot", snapname="now") == "OK"
    assert vm.task("POST", f"{VM}/clone", newid=101, snapname="now") == "OK"
    assert volumes(vm.config(101))["ide2"] == "fast:101/vm-101-cloudinit.qcow2"
    assert "user: me\n" in vm.get(f"{QEMU}/101/cloudinit/dump", type="user")


def test_disks_that_cannot_grow(vm: Client) -> None:
    vm.do("PUT", f"{VM}/config", ide3="none,media=cdrom", scsi3="local:1,format=vmdk")
    for disk, error in (
        ("ide3", "unable to parse volume ID 'none'"),
        ("scsi3", "can't resize this image format"),
        ("scsi9", "disk 'scsi9' does not exist"),
    ):
        assert vm.task("PUT", f"{VM}/resize", disk=disk, size="+1M") == error


CHANGES: list[tuple[dict[str, object], tuple[int, str]]] = [
    ({"scsi5": "local:iso/a.iso"}, (400, "scsi5: explicit 'media=cdrom' is required for iso images")),
    ({"machine": "pc,viommu=intel"}, (500, "to use Intel vIOMMU please set the machine type to q35")),
    ({"vga": "serial0,clipboard=vnc"}, (500, "vga type serial0 is not compatible with VNC clipboard")),
    ({"hookscript": "local:iso/a.iso"}, (400, "hookscript: 'local:iso/a.iso' is not in the snippets directory\n")),
    ({"hookscript": "local:snippets/a"}, (400, "hookscript: script 'local:snippets/a' does not exist\n")),
    ({"serial1": "/dev/ttyS0"}, (500, "only root can modify 'serial1' config for real devices")),
    ({"usb0": "host=1234:5678"}, (500, "only root can set 'usb0' config for real devices")),
    ({"hostpci0": "host=00:01.0"}, (500, "only root can set 'hostpci0' config for non-mapped devices")),
    (
        {"cpu": "fast"},
        (400, "cpu: invalid format - Built-in cputype 'fast' is not defined (missing 'custom-' prefix?)\n"),
    ),
    ({"cpu": "custom-fast"}, (400, "cpu: invalid format - Custom cputype 'fast' not found\n")),
    (
        {"scsi5": "local:0,import-from=local:101/vm-101-disk-0.raw"},
        (
            500,
            "cannot import from 'local:101/vm-101-disk-0.raw' - could not get size of local:101/vm-101-disk-0.raw",
        ),
    ),
]


@pytest.mark.parametrize(("parameters", "error"), CHANGES)
def test_changes_that_are_refused(vm: Client, parameters: dict[str, t.Any], error: tuple[int, str]) -> None:
    assert vm.call("PUT", f"{VM}/config", **parameters).error == error


def test_a_tpm_keeps_its_version(vm: Client) -> None:
    vm.do("PUT", f"{VM}/config", tpmstate0="local:1,version=v2.0")
    volume = vm.config()["tpmstate0"].partition(",")[0]
    changed = vm.call("PUT", f"{VM}/config", tpmstate0=f"{volume},version=v1.2")
    assert changed.error == (500, "cannot change TPM state version after creation")


def test_the_monitor(vm: Client) -> None:
    assert vm.do("POST", f"{VM}/monitor", command="info status") == "ERROR: VM 100 not running\n"
    assert vm.call("POST", f"{VM}/monitor", command="migrate x").error == (500, "root-only command 'migrate'")
    unknown = vm.call("POST", f"{VM}/monitor", command="dance").error[1]
    assert unknown.startswith("command 'dance' non-existent or not assigned a required permission yet")
    assert vm.call("PUT", f"{VM}/sendkey", key="ret").error == (500, "VM 100 not running")


def test_options_of_cloud_init_and_of_the_agent_reach_a_running_vm(vm: Client) -> None:
    vm.do("PUT", f"{VM}/config", agent="1")
    assert vm.task("POST", f"{VM}/status/start") == "OK"
    vm.do("PUT", f"{VM}/config", ciuser="me", ipconfig0="ip=dhcp", agent="1,fstrim_cloned_disks=1", cores=2)
    assert [one["key"] for one in vm.get(f"{VM}/pending") if "pending" in one] == ["cores"]


@pytest.mark.parametrize("limits", ["mbps_max=5", "mbps=1,mbps_rd=1", "iops_max_length=2", "bps=1000,mbps=1"])
def test_limits_of_a_drive_belong_together(vm: Client, limits: str) -> None:
    """Drive.pm: parse_drive; the schema cannot say it."""
    answer = vm.call("POST", "/nodes/pve1/qemu/100/config", scsi1=f"local:1,{limits}")
    assert answer.body["errors"] == {"scsi1": "unable to parse drive options"}


def test_the_machine_of_a_windows_is_pinned(pve: Client) -> None:
    """Machine.pm: check_and_pin_machine_string, of new VMs and where the system changes."""
    path = "/nodes/pve1/qemu"
    assert pve.task("POST", path, vmid=100, ostype="win11", machine="q35,viommu=virtio") == "OK"
    assert re.fullmatch(r"pc-q35-\d+\.\d+,viommu=virtio", pve.config()["machine"])
    assert pve.task("POST", path, vmid=101, ostype="l26", scsi0="local:0.1") == "OK"
    pve.do("PUT", f"{path}/101/config", ostype="win10")
    config = pve.config(101)
    assert re.fullmatch(r"pc-i440fx-\d+\.\d+", config["machine"])
    assert config["scsi0"].endswith("size=104858K")
