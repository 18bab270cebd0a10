"""Something happens to one call of a run that replaces an image, for every call of it."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox import vm

from .disturbance import Lab
from .wire import INJECTED, Killed, Trouble

BOTH = pytest.mark.parametrize("staging", ["import", "clone"])


def _undisturbed(lab: Lab, *, reads: bool = False) -> tuple[list[str], list[int]]:
    """The calls of a run to which nothing happens, and the numbers of those of interest.

    Those that do not depend on the way of staging are of interest once.
    """
    lab.wire.begin()
    assert lab.run("two", "d2") == []
    points = lab.wire.points(reads=reads)
    if lab.options["staging"] == "clone":
        same = {*range(lab.steps["stage"]), *range(lab.steps["switch"], lab.steps["commit"])}
        points = [number for number in points if number not in same]
    return list(lab.wire.calls), points


@BOTH
def test_whatever_is_only_read_may_fail_once(lab_of: t.Callable[..., Lab], staging: str) -> None:
    lab = lab_of(staging)
    lab.wire.begin("reads")
    assert lab.run("two", "d2") == []
    lab.converge()


@BOTH
@pytest.mark.parametrize("trouble", ["lost", "answer lost"])
def test_a_connection_may_break_once(
    lab_of: t.Callable[..., Lab], staging: str, trouble: Trouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    if trouble == "answer lost":  # what was understood has its effect, sooner or later
        monkeypatch.setattr(vm, "_LOOKS", 1000)
    lab = lab_of(staging)
    calls, points = _undisturbed(lab)
    for number in points:
        lab.restore()
        lab.wire.begin(trouble, number)
        assert lab.run("two", "d2") == [], calls[number]
        lab.settle()
        lab.converge()


@pytest.mark.parametrize("trouble", ["lost", "answer lost"])
def test_a_connection_may_break_once_in_the_first_run(
    lab_of: t.Callable[..., Lab], trouble: Trouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    if trouble == "answer lost":
        monkeypatch.setattr(vm, "_LOOKS", 1000)
    lab = lab_of("import")
    lab.written = False
    lab.restore(lab.empty)
    assert lab.run("one", "d1") == []
    for number in lab.wire.points(reads=False):
        lab.restore(lab.empty)
        lab.wire.begin(trouble, number)
        wrong = lab.run("one", "d1")
        # That a VM was not made is known, but not made good.
        assert not wrong or (trouble == "lost" and "POST /nodes/pve1/qemu)" in wrong[0]), wrong
        lab.settle()
        lab.converge("one", "d1")


@BOTH
@pytest.mark.parametrize("trouble", ["error", "errors"])
def test_a_call_is_refused(lab_of: t.Callable[..., Lab], staging: str, trouble: Trouble) -> None:
    lab = lab_of(staging)
    calls, points = _undisturbed(lab, reads=trouble == "errors")
    changed = False
    for number in points:
        lab.restore()
        lab.wire.begin(trouble, number)
        wrong = lab.run("two", "d2")
        lab.settle()
        for words in wrong:
            assert INJECTED in words, calls[number]
            assert "/qemu/100" not in words or "web1" in words, words
        if wrong and wrong[0].startswith(("plan", "stage")):
            assert lab.is_untouched(), calls[number]
        back = len(wrong) == 1 and wrong[0].startswith("switch")
        lab.check(["one"] if back else ["one", "two"], running=back or trouble == "error")
        changed = changed or back
        lab.converge()
    assert changed == (staging == "import")


@BOTH
def test_a_run_is_killed(lab_of: t.Callable[..., Lab], staging: str) -> None:
    lab = lab_of(staging)
    calls, points = _undisturbed(lab)
    for number in points:
        _kill(lab, number, "two", "d2")  # what was begun before has ended
        lab.settle()
        lab.check(["one", "two"])
        left = lab.save()
        lab.converge()
        lab.restore(left)
        lab.converge("one", "d1")
        if number + 1 < len(calls):
            _kill(lab, number + 1, "two", "d2")  # what was begun last goes on
            lab.converge()


@BOTH
def test_a_first_run_is_killed(lab_of: t.Callable[..., Lab], staging: str) -> None:
    lab = lab_of(staging)
    lab.written = False
    lab.restore(lab.empty)
    assert lab.run("one", "d1") == []
    for number in lab.wire.points(reads=False):
        _kill(lab, number, "one", "d1", lab.empty)
        lab.settle()
        lab.converge("one", "d1")


@BOTH
def test_two_vms_at_once(lab_of: t.Callable[..., Lab], staging: str) -> None:
    """Their calls come in another order each time."""
    lab = lab_of(staging, "web1", "web2")
    lab.wire.begin()
    assert lab.run("two", "d2") == []
    steps = set()
    for number in range(6, len(lab.wire.calls), 13):
        _kill(lab, number, "two", "d2")
        lab.settle()
        lab.check(["one", "two"])
        lab.converge()
        lab.restore()
        lab.wire.begin("error", number + 6)
        wrong = lab.run("two", "d2")
        lab.settle()
        steps |= {words.partition(",")[0] for words in wrong}
        assert all(INJECTED in words for words in wrong), wrong
        # If one of them cannot be switched, both go back.
        lab.check(["one"] if wrong and not wrong[0].startswith("commit") else ["two"], running=True)
        lab.converge()
    assert steps


def _kill(lab: Lab, number: int, identity: str, document: str, begin: t.Any = None) -> None:
    lab.restore(begin)
    lab.wire.begin("killed", number)
    with pytest.raises(Killed):
        lab.run(identity, document)
