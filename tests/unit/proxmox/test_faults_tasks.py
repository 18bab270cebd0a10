"""A task of a run ends in an error, before it has done anything or when it has done all; or it never ends."""

from __future__ import annotations

import typing as t
from collections import Counter

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Volume
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox import (
    client,
    tasks,
    uploads,
    vm,
)

from .disturbance import Lab
from .wire import Killed

WORDS = "no space left on device"
#: Types of tasks that are the same for both ways of staging.
COMMON = {"imgcopy", "qmconfig", "imgdel", "qmshutdown", "qmstart"}
#: Types that are there where data are secured, disks are too small, and a guest does not listen.
RARE = {"qmsnapshot", "qmdelsnapshot", "resize", "qmstop"}
#: Those that touch what runs.
OF_SWITCH = {"qmshutdown", "qmstop", "qmstart", "qmsnapshot", "resize"}


def _types(lab: Lab, staging: str) -> Counter[str]:
    """Types of the tasks of a run to which nothing happens, and how many there are."""
    lab.wire.begin()
    assert lab.run("two", "d2") == []
    found = Counter(call.split("/")[4] for call in lab.wire.calls if call.startswith("GET") and "/tasks/" in call)
    assert set(found) >= COMMON
    return Counter({kind: count for kind, count in found.items() if staging == "import" or kind not in COMMON})


def _try(lab: Lab, kind: str, words: str, *faults: dict[str, t.Any]) -> list[str]:
    """A run with these faults, and what must hold after it."""
    lab.restore()
    lab.world.faults(*({"kind": "task", "type": kind, **fault} for fault in faults))
    wrong = lab.run("two", "d2")
    lab.world.faults()
    for task in lab.cluster.tasks.all():
        if task.type == kind:
            task.stop.set()
    lab.settle()
    assert not wrong or (words in wrong[0] and "web1" in wrong[0] and f":{kind}:" in wrong[0]), wrong
    if kind not in OF_SWITCH and wrong and wrong[0].startswith("stage"):
        assert lab.is_untouched(), wrong
    lab.check(["one"] if len(wrong) == 1 and wrong[0].startswith("switch") else ["one", "two"])
    if lab.converge() and kind in RARE:
        _has_grown(lab)
    return wrong


@pytest.mark.parametrize("staging", ["import", "clone"])
def test_a_task_ends_in_an_error(lab_of: t.Callable[..., Lab], staging: str) -> None:
    lab = lab_of(staging)
    failed = set()
    for kind, count in _types(lab, staging).items():
        for before in range(count):
            for when in ("begin", "end"):
                error = {"error": WORDS, "when": when, "times": 1}
                if _try(lab, kind, WORDS, *([{"times": before}] if before else []), error):
                    failed.add(kind)
    assert (
        failed >= {"import": COMMON - {"qmshutdown"}, "clone": {"qmcreate", "qmtemplate", "qmclone", "qmmove"}}[staging]
    )


@pytest.mark.parametrize("staging", ["import", "clone"])
def test_a_task_never_ends(lab_of: t.Callable[..., Lab], staging: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = lab_of(staging)
    # Nobody waits long for these, nor for the locks that they hold.
    monkeypatch.setattr(client, "PATIENCE", 0.3)

    def wait_for(api: t.Any, upid: str, what: str, seconds: float) -> None:
        hangs = any(f":{fault['type']}:" in upid for fault in lab.cluster.faults.all())
        tasks.wait_for(api, upid, what, 0.05 if hangs else seconds)

    for module in (uploads, vm):
        monkeypatch.setattr(module, "wait_for", wait_for)
    for kind in _types(lab, staging):
        wrong = _try(lab, kind, "has not ended after", {"hang": True})
        assert bool(wrong) == (kind != "qmshutdown"), wrong


def test_tasks_that_are_rare(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of("import", snapshot="vm")
    lab.volumes_of_two = {"data": Volume("/data", 24)}
    lab.wire.ask("PUT", "/nodes/pve1/qemu/100/resize", disk="virtio0", size="12M")
    lab.settle()
    lab.begin_here()
    lab.world.faults({"kind": "task", "type": "qmshutdown", "error": "no"})
    assert set(_types(lab, "import")) >= RARE
    for kind in sorted(RARE):
        for when in ("begin", "end"):
            deaf = [{"type": "qmshutdown", "error": "no"}] if kind == "qmstop" else []
            wrong = _try(lab, kind, WORDS, *deaf, {"error": WORDS, "when": when, "times": 1})
            assert bool(wrong) == ((kind, when) != ("qmstop", "end")), (kind, when)
    lab.restore()
    _types(lab, "import")
    for number in [number for number, call in enumerate(lab.wire.calls) if call.endswith("/resize")]:
        lab.restore()
        lab.wire.begin("killed", number)
        with pytest.raises(Killed):
            lab.run("two", "d2")
        lab.converge()
        _has_grown(lab)


def _has_grown(lab: Lab) -> None:
    """System disks are as large as the one before, which somebody had enlarged; data disks as large as is wanted."""
    config = lab.world.config(100)
    assert config["virtio0"].endswith(",size=12M")
    assert config["virtio1"].endswith(",serial=data,size=24M")
