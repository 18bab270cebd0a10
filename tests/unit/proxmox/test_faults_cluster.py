"""Nodes go down, the quorum is lost, locks are held, clocks jump: before each change that a run makes."""

from __future__ import annotations

import threading
import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox import client

from .disturbance import Lab

DAY = 86400
QUORUM = {"kind": "quorum"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who meets a lock gives up soon."""
    monkeypatch.setattr(client, "PATIENCE", 0.1)


def _points(lab: Lab) -> list[int]:
    """The beginning, and each change of a run to which nothing happens."""
    lab.restore()
    assert lab.run("two", "d2") == []
    return [0, *lab.wire.points(reads=False)]


def _from(lab: Lab, number: int, *faults: dict[str, t.Any]) -> list[str]:
    """A run to which faults come before a call, and stay."""
    lab.restore()
    lab.wire.begin(number=number, event=lambda: lab.world.faults(*faults))
    wrong = lab.run("two", "d2")
    lab.world.faults()
    lab.settle()
    return wrong


def _must_hold(lab: Lab, wrong: list[str], *words: str, lost: t.Collection[str] = ()) -> None:
    assert all(any(word in one for word in words) for one in wrong), wrong
    assert all("web" in one or one.startswith("plan") for one in wrong), wrong
    if wrong and wrong[0].startswith(("plan", "stage")):
        assert lab.is_untouched(), wrong
    lab.check(["one", "two"])
    lab.converge(lost=lost)


@pytest.mark.parametrize("staging", ["import", "clone"])
def test_the_quorum_is_lost(lab_of: t.Callable[..., Lab], staging: str) -> None:
    lab = lab_of(staging, nodes=["pve1", "pve2"])
    first, *others = _points(lab)
    wrong = _from(lab, first, QUORUM)
    assert wrong == ["plan: cluster sim has no quorum: nothing can be changed now"]
    _must_hold(lab, wrong, "quorum")
    failed = 0
    for number in others:
        wrong = _from(lab, number, QUORUM)
        failed += bool(wrong)
        # Proxmox makes a volume, and then cannot enter it into the configuration: it may be anybody's, so it is told.
        lost = lab.volumes() - lab.world.named()
        _must_hold(lab, wrong, "quorum", "Permission denied", lost=lost)
        assert all(f"{volume} is in no drive of VM 100" in lab.told() for volume in lost), lost
    assert failed > len(others) // 2


def test_a_node_goes_down(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of("import", "web1", "web2", nodes=["pve1", "pve2"])
    down = {"kind": "node", "node": lab.cluster.files.find()[lab.vmids["web2"]]}
    assert down["node"] != lab.cluster.files.find()[lab.vmids["web1"]]
    first, *others = _points(lab)
    wrong = _from(lab, first, down)
    assert wrong == [f"plan, web2: VM {lab.vmids['web2']} is on {down['node']}, which is off"]
    lab.check(["one"])
    for number in others[::3]:
        wrong = _from(lab, number, down)
        for name, vmid in lab.vmids.items():
            assert name == "web2" or lab.cluster.guests.running(vmid), wrong
        assert all("595" in one or "off" in one for one in wrong), wrong
        lab.check(["one", "two"])
        lab.converge()


@pytest.mark.parametrize(("staging", "seconds"), [("import", DAY), ("clone", -DAY)])
def test_clocks_jump(lab_of: t.Callable[..., Lab], staging: str, seconds: int) -> None:
    lab = lab_of(staging)
    for number in _points(lab)[::2]:
        assert _from(lab, number, {"kind": "clock", "seconds": seconds}) == []
        lab.converge()


def test_somebody_holds_the_lock_of_a_vm_or_of_a_storage(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of("clone")
    failed = 0
    for index, number in enumerate(_points(lab)[1::2]):
        wrong = _from(lab, number, {"kind": "lock", **({"storage": "ceph"} if index % 3 == 2 else {"vmid": 100})})
        failed += bool(wrong)
        _must_hold(lab, wrong, "got timeout", "lock request timeout")
    assert failed > 8
    assert _from(lab, _points(lab)[3], {"kind": "lock", "vmid": 100, "times": 1}) == []
    lab.converge()


def test_a_backup_is_made(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of("import", lock_timeout=0)
    file = next((lab.cluster.state / "etc").glob("nodes/*/qemu-server/100.conf"))

    def begin() -> None:
        file.write_text(f"lock: backup\n{file.read_text()}")

    def end() -> None:
        file.write_text(file.read_text().replace("lock: backup\n", ""))

    failed = 0
    for number in _points(lab):
        lab.restore()
        lab.wire.begin(number=number, event=begin)
        wrong = lab.run("two", "d2")
        lab.settle()
        end()
        failed += bool(wrong)
        _must_hold(lab, wrong, "VM is locked (backup)", "qm unlock 100", "changed by someone else")
    assert failed > 8


def test_a_backup_that_ends_is_waited_for(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of("import")
    file = next((lab.cluster.state / "etc").glob("nodes/*/qemu-server/100.conf"))
    before = file.read_text()
    file.write_text(f"lock: backup\n{before}")
    after = lab.cluster.state / "after"  # takes its place at once: nobody reads half of it
    after.write_text(before)
    timer = threading.Timer(0.3, lambda: after.replace(file))
    timer.start()
    assert lab.run("two", "d2") == []
    timer.join()
    lab.converge()
