# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong before anything is touched: collected, and refused all at once. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from contextlib import contextmanager
from dataclasses import replace

from ..errors import ComposeError, InputError
from ..model.result import Problem
from ..process import need

#: Problems that are told, and nodes that are named with one of them; of more, how many there are.
MOST = 50


@contextmanager
def noting(
    problems: list[Problem], *nodes: str, key: str | None = None, file: str | None = None, remedy: str = ""
) -> t.Iterator[None]:
    """What the body refuses is one more problem: of the node that it names, of these, or of the whole deployment."""
    try:
        yield
    except ComposeError as error:
        problem = replace(Problem.of(error), key=key, file=file, remedy=remedy)
        of = (problem.node,) if problem.node is not None or not nodes else nodes
        problems += [replace(problem, node=node) for node in of]


def missing(*programs: str) -> list[Problem]:
    """The programs that are not installed on this host."""
    problems: list[Problem] = []
    for program in programs:
        with noting(problems):
            need(program)
    return problems


def refuse(problems: t.Sequence[Problem]) -> None:
    """:raises InputError: there are problems; tells each once, with all nodes that have it."""
    found: dict[str, dict[str, list[str]]] = {}
    for problem in problems:
        names = found.setdefault(problem.remedy, {}).setdefault(problem.message, [])
        if problem.node is not None and problem.node not in names:
            names.append(problem.node)
    told = [(message, names, remedy) for remedy, each in found.items() for message, names in each.items()]
    if len(told) == 1:
        ((message, names, remedy),) = told
        alone = len(names) == 1 and not _names_itself(message, names)
        text = Problem(message if alone else _line(message, names), remedy=remedy)
        raise InputError(str(text), node=names[0] if alone else None)
    if told:
        raise InputError("\n".join([f"{len(told)} problems. Nothing was touched", *_bulleted(told)]))


def _bulleted(told: t.Sequence[tuple[str, t.Sequence[str], str]]) -> t.Iterator[str]:
    """A line for each message with its nodes, and what to do below the last for which that is the same."""
    shown = told[:MOST]
    for number, (message, names, remedy) in enumerate(shown, 1):
        yield f"- {_line(message, names)}".replace("\n", "\n  ")
        if remedy and (number == len(shown) or shown[number][2] != remedy):
            yield f"  What to do: {remedy}"
    if len(told) > MOST:
        yield f"- and {len(told) - MOST} more"


def _line(message: str, names: t.Sequence[str]) -> str:
    """A message, and the nodes that it is of."""
    if not names or _names_itself(message, names):
        return message
    more = len(names) - MOST
    return f"{', '.join(names[:MOST])}{f' and {more} more' if more > 0 else ''}: {message}"


def _names_itself(message: str, names: t.Sequence[str]) -> bool:
    return message.startswith("node") and all(repr(name) in message for name in names)
