# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of many nodes, and what modules return of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.deploy.results import Tally, own_words
from ansible_collections.immutable.compose.plugins.module_utils.model.result import NodeResult
from ansible_collections.immutable.compose.plugins.module_utils.progress import TOLD, Progress


@pytest.mark.parametrize("total", [TOLD, 10 * TOLD])
def test_each_node_has_a_line_of_its_own_unless_they_are_many(tmp_path: Path, total: int) -> None:
    tally = Tally(Progress(str(tmp_path / "progress")), "switch", "started", total)
    for number in range(total):
        tally(f"n{number}", NodeResult() if number != 7 else NodeResult(ok=False, message="switch, n7: no memory"))
    lines = (tmp_path / "progress").read_text().splitlines()
    assert f"switch n7: failed: no memory (8 of {total})" in lines
    assert lines[-1] == f"switch n{total - 1}: started ({total} of {total})"
    assert len(lines) == (total if total == TOLD else 2)


def test_a_line_that_says_the_same_comes_once(tmp_path: Path) -> None:
    progress = Progress(str(tmp_path / "progress"))
    for line in ("polling", "polling", "polling", "ready", "polling"):
        progress.say(line)
    assert (tmp_path / "progress").read_text().splitlines() == ["polling", "ready", "polling"]


def test_a_message_says_node_and_step_once() -> None:
    assert own_words("n1", NodeResult(False, message="switch, n1: command failed: sh, n1: x")) == (
        "command failed: sh, n1: x"
    )
    assert own_words("n1", NodeResult(False, message="Proxmox refused it, n1: no")) == "Proxmox refused it, n1: no"
