"""Somebody else works on the same VMs: that is reported and left alone, or does no harm."""

from __future__ import annotations

import typing as t
from contextlib import suppress

import pytest
from proxmox.vm_power import start_vm, stop_vm

from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.client import ProxmoxError

from .disturbance import Lab
from .wire import Killed

VM = "/nodes/pve1/qemu/100"
CHANGED = "VM 100 was changed by someone else meanwhile: left as they made it; run again"


def _points(lab: Lab) -> list[int]:
    lab.restore()
    assert lab.run("two", "d2") == []
    return lab.wire.points(reads=False)


def _meanwhile(lab: Lab, number: int, event: t.Callable[[], object]) -> list[str]:
    lab.restore()
    lab.wire.begin(number=number, event=event)
    wrong = lab.run("two", "d2")
    lab.settle()
    return wrong


@pytest.mark.parametrize("staging", ["import", "clone"])
def test_a_vm_is_changed(lab_of: t.Callable[..., Lab], staging: str) -> None:
    lab = lab_of(staging)
    steps, told = set(), False
    for number in _points(lab):
        wrong = _meanwhile(lab, number, lambda: lab.wire.ask("PUT", f"{VM}/config", startup="order=3"))
        assert [one.partition(", web1: ")[2] for one in wrong] in ([], [CHANGED]), wrong
        told = told or "was changed by someone else meanwhile: looking at it anew" in lab.told()
        steps |= {one.partition(",")[0] for one in wrong}
        assert lab.world.config(100)["startup"] == "order=3", number
        lab.check(["one"] if wrong and not wrong[0].startswith("commit") else ["two"], running=True)
        lab.converge()
        assert lab.world.config(100)["startup"] == "order=3", number
    assert steps == {"switch", "commit"}
    assert told


def test_another_disk_is_put_into_the_boot_drive(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of("import")
    value = lab.world.config(100)["virtio0"]

    def change() -> None:
        with suppress(ProxmoxError):  # of a VM that runs it is refused, and stored all the same
            lab.wire.ask("PUT", f"{VM}/config", virtio0=f"{value},cache=none")

    for number in _points(lab):
        wrong = _meanwhile(lab, number, change)
        assert [one.partition(", web1: ")[2] for one in wrong] in ([], [CHANGED], ["another image"]), wrong
        lab.check(["one", "two"], running=True)
        lab.converge()


def test_data_that_somebody_detached_are_not_replaced(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of("import")
    volume = lab.world.config(100)["virtio1"].partition(",")[0]
    stop_vm(lab.cluster, "pve1", 100, hard=True)
    lab.wire.ask("PUT", f"{VM}/config", delete="virtio1")
    start_vm(lab.cluster, "pve1", 100)
    began = lab.cluster.guests.record(100)
    (wrong,) = lab.run("two", "d2")
    words = f"VM 100 has no disk with the serial number 'data', but keeps {volume} detached"
    assert wrong.startswith(f"switch, web1: {words}"), wrong
    assert lab.cluster.guests.record(100) == began
    lab.wire.ask("PUT", f"{VM}/config", virtio1=f"{volume},serial=data")
    lab.converge()


@pytest.mark.parametrize("staging", ["import", "clone"])
def test_a_vm_moves_to_another_node(lab_of: t.Callable[..., Lab], staging: str) -> None:
    lab = lab_of(staging, nodes=["pve1", "pve2"], storage="ceph")
    home = lab.cluster.files.find()[100]
    away = {"pve1": "pve2", "pve2": "pve1"}[home]
    failed = 0

    def move() -> None:
        lab.cluster.files.move(home, 100, away)
        lab.cluster.guests.move(100, away)

    for number in _points(lab):
        wrong = _meanwhile(lab, number, move)
        failed += bool(wrong)
        assert all("web1" in one for one in wrong), wrong
        lab.check(["one", "two"], running=True)
        lab.converge()
        assert lab.cluster.files.find()[100] == away
    assert failed < 10


def test_a_vm_is_removed(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of("import")
    lab.written = False

    def remove() -> None:
        stop_vm(lab.cluster, "pve1", 100, hard=True)
        lab.wire.ask("DELETE", VM, **{"purge": 1, "destroy-unreferenced-disks": 1})
        lab.settle()

    failed = 0
    for number in _points(lab):
        wrong = _meanwhile(lab, number, remove)
        failed += bool(wrong)
        assert all("web1" in one and ("VM 100" in one or "100.conf" in one) for one in wrong), wrong
        lab.converge()
    assert failed > 8


def test_a_protected_vm_keeps_its_old_disk(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of("import")
    lab.wire.ask("PUT", f"{VM}/config", protection=1)
    lab.begin_here()
    old = lab.world.config(100)["virtio0"].partition(",")[0]
    for number in _points(lab):
        lab.restore()
        lab.wire.begin("killed", number)
        with pytest.raises(Killed):
            lab.run("two", "d2")
        lab.wire.begin()
        assert lab.run("two", "d2") == []
        lab.check(["two"], running=True)
        assert lab.world.config(100)["protection"] == 1
        assert old in lab.world.named()
    assert f"{old}, " in lab.told()
    lab.wire.ask("PUT", f"{VM}/config", protection=0)
    lab.converge("one", "d1")


def test_a_vm_that_became_a_template_is_no_node(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of("import")
    stop_vm(lab.cluster, "pve1", 100, hard=True)
    lab.wire.ask("POST", f"{VM}/template")
    lab.settle()
    wrong = lab.run("two", "d2")
    assert wrong == ["plan, web1: VM 100, a template, has the tag compose.lab.web1: it cannot be a node"]
    assert lab.world.vmids() == [100]


def test_a_copy_has_the_same_tag(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of("import")
    lab.wire.ask("POST", f"{VM}/clone", newid=105, full=1)
    lab.settle()
    before = lab.state()
    wrong = lab.run("two", "d2")
    assert wrong == ["plan, web1: VMs 100 and 105 both have the tag compose.lab.web1: take it off the copy"]
    assert lab.state() == before
    lab.wire.ask("PUT", "/nodes/pve1/qemu/105/config", tags="copy")
    assert lab.run("two", "d2") == []


def test_a_kept_disk_is_removed_by_hand(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of("import")
    assert lab.run("two", "d2", keep=["one"]) == []
    (key,) = [key for key in lab.world.config(100) if key.startswith("unused")]
    lab.wire.ask("PUT", f"{VM}/config", delete=key)
    lab.converge("one", "d1")
