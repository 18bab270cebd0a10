# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose turn a trial is: among runners that live, that were killed, and that come back."""

from __future__ import annotations

import signal
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.experiments.sharing import Sharing

TRIALS = ["a", "b", "c"]


class Shared(Sharing):
    """With results for what was done."""

    def __init__(self, directory: Path, runner: str, trials: list[str], kept: t.Collection[str] | None = None) -> None:
        self.kept = set(kept) if kept is not None else _KEPT.setdefault(str(directory), set())
        super().__init__(str(directory), runner, trials, lambda: self.kept)

    def done(self, trial: str) -> None:
        self.kept.add(trial)
        super().done(trial)


_KEPT: dict[str, set[str]] = {}


def any_(_trial: str) -> bool:
    return False


def all_of(sharing: Sharing) -> list[str]:
    found = []
    while (trial := sharing.next(any_)) is not None:
        sharing.done(trial)
        found.append(trial)
    return found


def test_each_trial_is_given_once_and_in_order(tmp_path: Path) -> None:
    sharing = Shared(tmp_path, "", TRIALS)
    assert all_of(sharing) == TRIALS
    assert sharing.left == []
    sharing.close()
    more = Shared(tmp_path, "", [*TRIALS, "d"])
    assert (more.left, all_of(more)) == (["d"], ["d"])
    more.close()


def test_what_is_preferred_comes_first(tmp_path: Path) -> None:
    sharing = Shared(tmp_path, "", TRIALS)
    assert sharing.next("c".__eq__) == "c"
    sharing.close()


def test_what_failed_is_for_the_next_run(tmp_path: Path) -> None:
    sharing = Shared(tmp_path, "", TRIALS)
    assert sharing.next(any_) == "a"
    sharing.skip("a")
    assert (all_of(sharing), sharing.left) == (["b", "c"], ["a"])
    sharing.close()
    again = Shared(tmp_path, "", TRIALS)
    assert all_of(again) == ["a"]
    again.close()


def test_two_runners_share(tmp_path: Path) -> None:
    left, right = Shared(tmp_path, "left", TRIALS), Shared(tmp_path, "right", TRIALS)
    assert [left.next(any_), right.next(any_)] == ["a", "b"]
    left.done("a")
    assert left.next(any_) == "c"
    left.done("c")
    assert left.next(any_) is None
    right.close()  # which gives "b" back
    assert left.next(any_) == "b"
    left.close()


def test_a_name_is_one_runner_only(tmp_path: Path) -> None:
    sharing = Shared(tmp_path / "sharing", "", TRIALS)
    with pytest.raises(InputError, match="another run is at work on this experiment; runs that share it are named in"):
        Shared(tmp_path / "sharing", "", TRIALS)
    sharing.close()


TAKE_AND_DIE = f"""
import os, signal, sys
sys.path[:] = {sys.path!r}
from {Sharing.__module__} import Sharing
print(Sharing(sys.argv[1], "left", {TRIALS}, set).next(lambda trial: False), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("name", ["left", "right"])
def test_what_a_killed_runner_had_is_given_again(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-c", TAKE_AND_DIE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("a\n", -signal.SIGKILL), done.stderr
    sharing = Shared(tmp_path, name, TRIALS)
    assert all_of(sharing) == TRIALS
    sharing.close()


def test_the_results_say_what_is_done(tmp_path: Path) -> None:
    sharing = Shared(tmp_path, "", TRIALS)
    assert all_of(sharing) == TRIALS
    sharing.close()
    removed = Shared(tmp_path, "", TRIALS, kept=["a", "c"])  # to be measured again
    assert (removed.left, all_of(removed)) == (["b"], ["b"])
    removed.close()
    killed = Shared(tmp_path, "", [*TRIALS, "d"], kept=["a", "b", "c", "d"])  # between its result and its end
    assert killed.left == []
    killed.close()
