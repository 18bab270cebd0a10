"""Something happens on the way back to the verified image, or when a deployment is destroyed."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox import client, vm

from .disturbance import Lab
from .wire import INJECTED, Killed, Trouble

Fault = dict[str, t.Any]
QUORUM: Fault = {"kind": "quorum"}
LOCK: Fault = {"kind": "lock", "vmid": 100}
DOWN: Fault = {"kind": "node", "node": "pve1"}
LATER: Fault = {"kind": "clock", "seconds": 86400}
REJECTED = "verify, web1: rejected"
DATA_STAY = pytest.mark.parametrize("data", [False, True], ids=["data stay", "data go"])


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who meets a lock gives up soon; who waits for what a lost call does, does not."""
    monkeypatch.setattr(client, "PATIENCE", 0.1)
    monkeypatch.setattr(vm, "_GRACE", 0.1)


# -- the way back ----------------------------------------------------------------------------------------------------


def _back(lab: Lab, *, reads: bool = False) -> list[int]:
    """A run whose image is rejected; numbers of the calls of the way back."""
    lab.rejected = {"two"}
    lab.restore()
    assert lab.run("two", "d2") == [REJECTED]
    lab.check(["one"], running=True)
    return [number for number in lab.wire.points(reads=reads) if number >= lab.steps["revert"]]


def _then(lab: Lab, wrong: list[str], *words: str) -> None:
    """What must hold whatever happened on the way back."""
    lab.settle()
    assert wrong[0] == REJECTED
    assert all(one.startswith("NOT back: revert") and any(word in one for word in words) for one in wrong[1:]), wrong
    lab.check(["one", "two"])
    lab.converge("one", "d1")


@pytest.mark.parametrize("trouble", ["lost", "answer lost", "error", "errors"])
def test_a_call_of_the_way_back_fails(
    lab_of: t.Callable[..., Lab], trouble: Trouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vm, "_LOOKS", 1000)
    lab = lab_of("import")
    failed = 0
    for number in _back(lab, reads=trouble == "errors"):
        lab.restore()
        lab.wire.begin(trouble, number)
        wrong = lab.run("two", "d2")
        failed += len(wrong) > 1
        if not wrong[1:]:
            lab.check(["one"], running=True)
        _then(lab, wrong, INJECTED)
    assert bool(failed) == (trouble in ("error", "errors"))


def test_the_way_back_is_killed(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of("clone")
    for number in _back(lab):
        lab.restore()
        lab.wire.begin("killed", number)
        with pytest.raises(Killed):
            lab.run("two", "d2")
        _then(lab, [REJECTED])
        lab.rejected = set()
        lab.converge()
        lab.rejected = {"two"}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (QUORUM, "quorum"),
        (LOCK, "got timeout"),
        (DOWN, "595"),
        (LATER, ""),
        ({"kind": "task", "type": "qmshutdown", "hang": True}, ""),
        ({"kind": "task", "type": "qmshutdown", "error": "no"}, ""),
        ({"kind": "task", "type": "qmstart", "error": "no memory"}, "no memory"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value['kind']}-{value.get('type')}",
)
def test_the_cluster_is_disturbed_on_the_way_back(lab_of: t.Callable[..., Lab], fault: Fault, words: str) -> None:
    lab = lab_of("import", shutdown_timeout=0)
    failed = False
    for number in _back(lab):
        lab.restore()
        lab.wire.begin(number=number, event=lambda: lab.world.faults(fault))
        wrong = lab.run("two", "d2")
        lab.world.faults()
        for task in lab.cluster.tasks.all():
            task.stop.set()
        failed = failed or len(wrong) > 1
        _then(lab, wrong, words or "nothing", "Permission denied" if fault == QUORUM else words or "nothing")
    assert failed == bool(words)


# -- the end -----------------------------------------------------------------------------------------------------------


def _destroy(lab: Lab, *, data: bool) -> list[str]:
    """What the engine does; what went wrong."""
    try:
        platform = lab.platform()
        platform.observe(platform.deployment.nodes)
        outcomes = platform.remove(["web1"], data=data, tell=lab.world.tell)
        wrong = [outcome.message for outcome in outcomes.values() if not outcome.ok]
        if not wrong:
            platform.teardown()
        return wrong
    except ComposeError as error:
        error.step = error.step or "destroy"
        return [str(error)]


def _ends(lab: Lab, *, data: bool) -> None:
    """The next attempt ends well, and leaves the data or nothing."""
    lab.settle()
    lab.world.faults()
    lab.wire.begin()
    if not data:
        assert lab.holds(lab._drive("web1", "data")) == "data of web1"
    assert _destroy(lab, data=data) == []
    lab.settle()
    assert lab.uploads() == set()
    if data:
        assert (lab.world.vmids(), lab.volumes()) == ([], set())
        return
    assert lab.volumes() == {lab._drive("web1", "data")}
    assert lab.holds(lab._drive("web1", "data")) == "data of web1"
    assert _destroy(lab, data=False) == []  # there is nothing more to do
    lab.converge("one", "d1")


def _points(lab: Lab, *, data: bool) -> list[int]:
    lab.restore()
    assert _destroy(lab, data=data) == []
    points = lab.wire.points(reads=False)
    _ends(lab, data=data)
    return points


@DATA_STAY
@pytest.mark.parametrize("trouble", ["lost", "answer lost", "error", "errors", "killed"])
def test_a_call_of_the_end_fails(
    lab_of: t.Callable[..., Lab], trouble: Trouble, data: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vm, "_LOOKS", 1000)
    lab = lab_of("clone")
    for number in _points(lab, data=data):
        lab.restore()
        lab.wire.begin(trouble, number)
        try:
            wrong = _destroy(lab, data=data)
        except Killed:
            wrong = []
        assert all(INJECTED in one and one.startswith(("remove, web1", "destroy")) for one in wrong), wrong
        _ends(lab, data=data)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (QUORUM, "quorum"),
        (LOCK, "got timeout"),
        (DOWN, "595"),
        (LATER, "nothing"),
        ({"kind": "task", "type": "qmconfig", "error": "no luck"}, "no luck"),
        ({"kind": "task", "type": "qmshutdown", "hang": True}, "nothing"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value['kind']}-{value.get('type')}",
)
def test_the_cluster_is_disturbed_at_the_end(lab_of: t.Callable[..., Lab], fault: Fault, words: str) -> None:
    lab = lab_of("import", shutdown_timeout=0)
    for number in _points(lab, data=False):
        lab.restore()
        lab.wire.begin(number=number, event=lambda: lab.world.faults(fault))
        wrong = _destroy(lab, data=False)
        lab.world.faults()
        for task in lab.cluster.tasks.all():
            task.stop.set()
        assert all(any(word in one for word in (words, "is off", "Permission denied")) for one in wrong), wrong
        _ends(lab, data=False)
