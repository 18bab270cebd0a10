"""What this collection did not make, or what somebody else uses, is never taken away."""

from __future__ import annotations

import time
import typing as t

import pytest
from proxmox.vm_power import start_vm, stop_vm

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Volume
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox import vm

from .conftest import World
from .disturbance import Lab
from .test_life import DATA, drive, existing
from .wire import Killed

VM = "/nodes/pve1/qemu/100"


def _detach_data(lab: Lab) -> str:
    """Somebody takes the data disk out of a VM that is off for it; its volume."""
    volume = str(lab.world.config(100)["virtio1"]).partition(",")[0]
    stop_vm(lab.cluster, "pve1", 100, hard=True)
    lab.wire.ask("PUT", f"{VM}/config", delete="virtio1")
    return volume


def test_detached_data_survive_the_end_of_their_node(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of("import")
    volume = _detach_data(lab)
    outcomes = lab.platform().remove(["web1"], data=False, tell=lab.world.tell)
    assert outcomes["web1"].ok, outcomes
    assert lab.holds(volume) == "data of web1"
    assert lab.volumes() == {volume} and volume in lab.world.named()
    lab.platform().remove(["web1"], data=True, tell=lab.world.tell)
    assert lab.volumes() == set()


def test_a_disk_that_no_configuration_names_is_removed_only_with_the_data(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of("import")
    lab.volumes_of_two = {}
    lab.restore(lab.empty)
    lab.written = False
    targets = lab.world.targets(lab.platform(), "one")
    lab.platform().stage(targets)
    assert lab.platform().switch(targets, lab.world.tell)["web1"].ok
    vmid = lab.world.vmid()
    kept = lab.wire.ask(
        "POST", "/nodes/pve1/storage/local/content", vmid=vmid, filename=f"vm-{vmid}-mine.qcow2", size="8M"
    )
    assert lab.platform().remove(["web1"], data=False, tell=lab.world.tell)["web1"].ok
    assert lab.volumes() == {kept}


def test_a_node_is_not_destroyed_while_another_vm_uses_its_disk(world: World) -> None:
    world.deploy(world.platform("web1"), "one", **DATA)
    vmid = world.vmid()
    volume = drive(world, vmid, "data")[1]
    world.call("POST", "/nodes/pve1/qemu", vmid=500, name="other")
    world.settle()
    world.call("PUT", "/nodes/pve1/qemu/500/config", scsi0=volume)
    outcome = world.platform("web1").remove(["web1"], data=True, tell=world.tell)["web1"]
    assert outcome.message == f"remove, web1: VM 500 uses {volume}, too: take it out there first"
    assert world.running(vmid) and volume in world.volumes()


def test_a_disk_that_another_vm_uses_stays_when_its_vm_is_let_go(world: World) -> None:
    existing(world)
    world.deploy(world.platform("web1", vmid=300, adopt=True), "one")
    volume = world.config(300)["scsi0"].partition(",")[0]
    world.call("POST", "/nodes/pve1/qemu", vmid=500, name="other")
    world.settle()
    world.call("PUT", "/nodes/pve1/qemu/500/config", scsi0=volume)
    outcome = world.platform("web1", vmid=300, adopt=True).remove(["web1"], data=True, tell=world.tell)["web1"]
    assert outcome.message == f"remove, web1: VM 500 uses {volume}, too: take it out there first"
    assert volume in world.volumes()


@pytest.mark.parametrize("adopted", [False, True])
def test_a_protected_vm_runs_on(world: World, adopted: bool) -> None:
    if adopted:
        existing(world)
    options: dict[str, t.Any] = {"vmid": 300, "adopt": True} if adopted else {}
    world.deploy(world.platform("web1", **options), "one")
    vmid = world.vmid()
    world.call("PUT", f"/nodes/pve1/qemu/{vmid}/config", protection=1)
    outcome = world.platform("web1", **options).remove(["web1"], data=True, tell=world.tell)["web1"]
    assert outcome.message == f"remove, web1: VM {vmid} is protected: take its protection off first"
    assert world.running(vmid)


def test_a_data_disk_where_new_vms_boot_from_stays_there(world: World) -> None:
    """Of a VM that is adopted, and boots from the network."""
    world.call("POST", "/nodes/pve1/qemu", vmid=300, name="old", virtio0="local:1,format=qcow2", boot="order=net0")
    world.settle()
    data = world.config(300)["virtio0"]
    world.deploy(world.platform("web1", vmid=300, adopt=True), "one")
    config = world.config(300)
    assert config["virtio0"] == data and config["boot"] == "order=virtio1"


def test_a_vm_without_a_boot_order_boots_its_first_disk(world: World) -> None:
    """As Proxmox VE does, and as VMs have it that are older than boot orders."""
    existing(world)
    (file,) = (world.state / "etc").glob("nodes/*/qemu-server/300.conf")
    file.write_text("".join(line for line in file.read_text().splitlines(True) if not line.startswith("boot:")))
    before = world.config(300)
    world.deploy(world.platform("web1", vmid=300, adopt=True), "one")
    config = world.config(300)
    assert config["unused0"] == before["scsi0"].partition(",")[0]
    assert config["scsi1"] == before["scsi1"] and "virtio0" not in config and config["boot"] == "order=scsi0"


def test_data_that_are_detached_with_the_next_start_are_not_replaced(lab_of: t.Callable[..., Lab]) -> None:
    """A running guest does not let go of a disk: that waits until it is stopped."""
    lab = lab_of("import")
    stop_vm(lab.cluster, "pve1", 100, hard=True)
    lab.wire.ask("PUT", f"{VM}/config", hotplug="network")
    start_vm(lab.cluster, "pve1", 100)
    began = lab.cluster.guests.record(100)
    lab.wire.ask("PUT", f"{VM}/config", delete="virtio1")
    (wrong,) = lab.run("two", "d2")
    assert wrong.startswith("switch, web1: VM 100 has no disk with the serial number 'data'"), wrong
    assert lab.cluster.guests.record(100) == began
    lab.wire.ask("PUT", f"{VM}/config", revert="virtio1")
    lab.converge()


def test_a_revert_to_a_disk_that_is_gone_is_refused_while_the_vm_runs(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of("import")
    targets = lab.world.targets(lab.platform(), "two", "d2", **DATA)
    lab.platform().stage(targets)
    assert lab.platform().switch(targets, lab.world.tell)["web1"].ok
    old = lab.platform().service.machines.record(lab.platform().service.find("web1").config(), 100).verified
    key = next(key for key, value in lab.world.config(100).items() if value == old.system)
    lab.wire.ask("PUT", f"{VM}/config", delete=key)
    began = lab.cluster.guests.record(100)
    platform = lab.platform()
    outcome = platform.revert(platform.deployment.nodes, lab.world.tell)["web1"]
    assert outcome.message == f"revert, web1: VM 100 has no volume {old.system} any more; run again to get it anew"
    assert lab.cluster.guests.record(100) == began
    lab.converge("one", "d1")


def test_a_volume_made_elsewhere_that_is_gone_is_missed_before_the_switch(world: World) -> None:
    options = {"storage": "ceph", "staging": "volume", "volume": "ceph:vm-{vmid}-sys-{image}", "vmid": 500}
    platform = world.platform("web1", **options)
    targets = world.targets(platform, "one")
    with pytest.raises(ComposeError, match="does not exist") as told:
        platform.stage(targets)
    name = str(told.value).partition("ceph:")[2].partition(" ")[0]
    path = "/nodes/pve1/storage/ceph/content"
    world.call("POST", path, vmid=500, filename=name, size="8M")
    assert world.platform("web1", **options).stage(targets)
    world.call("DELETE", f"{path}/ceph:{name}")
    world.settle()
    with pytest.raises(ComposeError, match=f"volume ceph:{name} of VM 500 does not exist"):
        world.platform("web1", **options).stage(targets)


@pytest.mark.parametrize("staging", ["import", "clone"])
def test_what_a_killed_run_left_ends_with_the_node(lab_of: t.Callable[..., Lab], staging: str) -> None:
    lab = lab_of(staging)
    lab.restore()
    assert lab.run("two", "d2") == []
    for number in lab.wire.points(reads=False):
        lab.restore()
        lab.wire.begin("killed", number)
        with pytest.raises(Killed):
            lab.run("two", "d2")
        lab.settle()
        lab.wire.begin()
        outcome = lab.platform().remove(["web1"], data=False, tell=lab.world.tell)["web1"]
        assert outcome.ok, outcome
        lab.platform().teardown()
        assert lab.volumes() == {lab._drive("web1", "data")}, number
        assert lab.uploads() == set() and lab.world.vmids() == [100]
        assert lab.holds(lab._drive("web1", "data")) == "data of web1"


@pytest.mark.parametrize("when", ["stopped", "restarted", "started"])
def test_somebody_uses_the_power_button(lab_of: t.Callable[..., Lab], when: str) -> None:
    """At every change of a run: what runs in the end is what is recorded, or it is told."""
    lab = lab_of("import")
    lab.restore()
    assert lab.run("two", "d2") == []

    def press() -> None:
        if when != "started" and lab.cluster.guests.running(100):
            stop_vm(lab.cluster, "pve1", 100, hard=True)
        if when != "stopped" and not lab.cluster.guests.running(100):
            start_vm(lab.cluster, "pve1", 100)

    for number in lab.wire.points(reads=False):
        lab.restore()
        lab.wire.begin(number=number, event=press)
        wrong = lab.run("two", "d2")
        lab.settle()
        assert all("web1" in words for words in wrong), wrong
        lab.check(["one", "two"])
        lab.converge()


def test_a_shutdown_that_hangs_is_not_waited_for_like_a_copy(
    lab_of: t.Callable[..., Lab], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vm, "_GRACE", 1)
    lab = lab_of("import", shutdown_timeout=0)
    lab.world.faults({"kind": "task", "type": "qmshutdown", "hang": True})
    begin = time.monotonic()
    assert lab.run("two", "d2") == []
    assert time.monotonic() - begin < 30
    lab.converge()


def test_a_vm_is_changed_while_its_disks_grow(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of("import")
    lab.volumes_of_two = {"data": Volume("/data", 24)}
    lab.wire.ask("PUT", f"{VM}/resize", disk="virtio0", size="12M")
    lab.settle()
    lab.begin_here()
    lab.restore()
    assert lab.run("two", "d2") == []
    resizes = [number for number, call in enumerate(lab.wire.calls) if call.endswith("/resize")]
    assert len(resizes) == 2
    for number in resizes:
        lab.restore()
        lab.wire.begin(number=number, event=lambda: lab.wire.ask("PUT", f"{VM}/config", startup="order=3"))
        (wrong,) = lab.run("two", "d2")
        assert wrong.startswith("switch, web1: VM 100 was changed by someone else meanwhile"), wrong
        lab.check(["one"], running=True)
        assert lab.world.config(100)["startup"] == "order=3"
        if lab.converge():  # else it is the same as the time before
            assert "size=12M" in lab.world.config(100)["virtio0"] and "size=24M" in lab.world.config(100)["virtio1"]


def test_what_waited_for_the_next_start_is_told(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of("import")
    lab.wire.ask("PUT", f"{VM}/config", onboot=0)  # at once
    lab.wire.ask("PUT", f"{VM}/config", cpu="host")
    targets = lab.world.targets(lab.platform(), "two", "d2", **DATA)
    lab.platform().stage(targets)
    outcome = lab.platform().switch(targets, lab.world.tell)["web1"]
    assert outcome.message.endswith("boots two; with that, what waited for its next start took effect: cpu")
    platform = lab.platform()
    assert platform.revert(platform.deployment.nodes, lab.world.tell)["web1"].message == "VM 100 boots one again"
