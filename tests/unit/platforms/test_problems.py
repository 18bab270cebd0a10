# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong is collected, and told at once: each problem once, with its nodes."""

from __future__ import annotations

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import CommandError, ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.result import Problem
from ansible_collections.immutable.compose.plugins.module_utils.platforms.problems import MOST, missing, noting, refuse


def told(*problems: Problem) -> list[str]:
    """The refusal."""
    with pytest.raises(InputError) as refused:
        refuse(problems)
    return str(refused.value).splitlines()


def test_without_problems_nothing_is_refused() -> None:
    refuse([])


def test_one_problem_is_told_as_ever() -> None:
    assert told(Problem("no space")) == ["no space"]
    assert told(Problem("memory is 0", node="web1")) == ["web1: memory is 0"]
    assert told(Problem("node 'web1' has nothing", node="web1")) == ["node 'web1' has nothing"]
    assert told(Problem("port 22 is taken", node="web1", remedy="set ssh_port")) == [
        "web1: port 22 is taken; set ssh_port"
    ]


def test_what_several_nodes_have_in_common_is_told_once() -> None:
    assert told(*(Problem("memory is 0", node=name) for name in ("b", "a", "b"))) == ["b, a: memory is 0"]


def test_many_are_a_line_each_and_what_to_do_is_said_once() -> None:
    assert told(
        Problem("port 1 is taken", node="a", remedy="set ssh_port"),
        Problem("memory is 0", node="a"),
        Problem("port 2 is taken", node="b", remedy="set ssh_port"),
        Problem("memory is 0", node="c"),
        Problem("no space\non the disk"),
    ) == [
        "4 problems. Nothing was touched",
        "- a: port 1 is taken",
        "- b: port 2 is taken",
        "  What to do: set ssh_port",
        "- a, c: memory is 0",
        "- no space",
        "  on the disk",
    ]


def test_long_lists_are_cut_with_a_count() -> None:
    lines = told(*(Problem(f"port {number} is taken", node="a") for number in range(MOST + 3)))
    assert len(lines) == MOST + 2
    assert (lines[0], lines[-1]) == (f"{MOST + 3} problems. Nothing was touched", "- and 3 more")
    (line,) = told(*(Problem("memory is 0", node=f"n{number}") for number in range(MOST + 2)))
    assert line.startswith("n0, n1, ") and line.endswith(f"n{MOST - 1} and 2 more: memory is 0")


def test_forty_faulty_nodes_are_all_told() -> None:
    lines = told(*(Problem(f"port {number} is taken", node=f"n{number}") for number in range(40)))
    assert lines[1:] == [f"- n{number}: port {number} is taken" for number in range(40)]


def test_what_is_refused_is_a_problem_of_the_nodes() -> None:
    problems: list[Problem] = []
    with noting(problems, "a", "b", key="storage", remedy="do it"):
        raise ComposeError("no storage")
    with noting(problems, "a"):
        raise ComposeError("two VMs", node="b")
    with noting(problems):
        raise CommandError("mount /x", 32, "no such device")
    with noting(problems, "a"):
        pass
    assert problems[:3] == [
        Problem("no storage", key="storage", node="a", remedy="do it"),
        Problem("no storage", key="storage", node="b", remedy="do it"),
        Problem("two VMs", node="b"),
    ]
    assert (problems[3].command, problems[3].exit_code, problems[3].node) == ("mount /x", 32, None)
    assert len(problems) == 4


def test_every_missing_program_is_named() -> None:
    assert [problem.message.split("'")[1] for problem in missing("sh", "no-such-1", "no-such-2")] == [
        "no-such-1",
        "no-such-2",
    ]
