# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be known about a test script without running it. PRIVATE to the collection."""

from __future__ import annotations

import ast
import builtins
import re
import textwrap
import types
import typing as t
import warnings

from ..describe.names import label_of
from ..errors import InputError, nearest

#: What a test script is called in results and messages (its subtests are ``testScript: NAME``).
SCRIPT = "testScript"
#: Names that every test script finds defined, besides its nodes; see docs/checks.md.
SYMBOLS = ("log", "machines", "os", "parallel", "retry", "start_all", "subtest", "t")

#: Public attributes of a ``Machine``; named here because importing it, and paramiko with it, takes longer than a check.
METHODS = (
    "copy_from_host",
    "copy_from_machine",
    "execute",
    "fail",
    "get_unit_info",
    "get_unit_property",
    "log",
    "name",
    "require_unit_state",
    "role",
    "sleep",
    "start",
    "start_job",
    "stop_job",
    "succeed",
    "systemctl",
    "wait_for_closed_port",
    "wait_for_console_text",
    "wait_for_file",
    "wait_for_open_port",
    "wait_for_unit",
    "wait_until_fails",
    "wait_until_succeeds",
)


def dedent(text: str) -> str:
    """The script without the indentation that all its lines have in common."""
    return textwrap.dedent(text)


def compiled(text: str, name: str) -> tuple[types.CodeType, list[warnings.WarningMessage]]:
    """A script that can be run, and what Python warns of in it. :raises SyntaxError: :raises ValueError: it is none."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        return compile(text, name, "exec"), found


def variables(node_names: t.Iterable[str], text: str = "") -> dict[str, str]:
    """Variable → node: the name with underscores; a single node is also ``machine``.

    :param text: a script that may call nodes as their role is called, where that is no host name (``webServer``).
    """
    names = list(node_names)
    found = {re.sub(r"^[^A-Za-z_]|[^A-Za-z0-9_]", "_", name): name for name in names}
    if len(names) == 1:
        found.setdefault("machine", names[0])
    labels = set(names)
    for word in _names_in(text) - {*found, *SYMBOLS, *dir(builtins)}:
        if label_of(word) in labels:
            found[word] = label_of(word)
    return found


def _names_in(text: str) -> set[str]:
    """Every name that a script uses; none if it is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {item.id for item in ast.walk(ast.parse(text)) if isinstance(item, ast.Name)}
    except (SyntaxError, ValueError):
        return set()


def check_script(text: str, node_names: t.Iterable[str]) -> list[str]:
    """Refuse a script that cannot work; returns what Python warns of, with line number and line.

    :param node_names: all nodes of the deployment.
    :raises InputError: a syntax error, a node that does not exist, another undefined name, or a method that machines
        do not have; with line number and line.
    """
    text = dedent(text)
    lines = text.splitlines()

    def at(number: int, what: str) -> str:
        line = lines[number - 1].strip() if 0 < number <= len(lines) else ""
        return f"{SCRIPT}, line {number}: {what}\n    {line}"

    def refuse(number: int, why: str) -> t.NoReturn:
        raise InputError(at(number, why))

    try:
        found = compiled(text, SCRIPT)[1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except SyntaxError as error:
        refuse(error.lineno or 0, error.msg)
    except ValueError as error:  # NUL
        raise InputError(f"{SCRIPT}: {error}") from None

    expressions = [item for item in ast.walk(tree) if isinstance(item, ast.expr)]
    judge = _Judge(list(node_names), _assigned(tree), text)
    for item in sorted(expressions, key=lambda item: (item.lineno, item.col_offset)):
        why = judge.complaint(item)
        if why:
            refuse(item.lineno, why)
    return list(dict.fromkeys(at(warning.lineno, str(warning.message)) for warning in found))


class _Judge:
    """Knows which names are defined when the script runs."""

    def __init__(self, nodes: t.Sequence[str], assigned: t.Collection[str], text: str) -> None:
        self._nodes = nodes
        machines = variables(nodes, text)
        self._hints = {*machines, *SYMBOLS, *assigned}
        self._known = {*self._hints, *dir(builtins), "__name__"}
        self._knows_all = "*" not in assigned
        #: Names that stand for machines, unless the script gives them another meaning.
        self._machines = machines.keys() - assigned
        self._has_machines = "machines" not in assigned

    def complaint(self, item: ast.expr) -> str | None:
        """What is wrong with an expression."""
        if isinstance(item, ast.Name):
            if self._knows_all and item.id not in self._known:
                hint = nearest(item.id, self._hints)
                return f"{item.id!r} is neither a node of the deployment nor defined in the script{hint}"
        elif isinstance(item, (ast.Subscript, ast.Attribute)) and isinstance(item.value, ast.Name):
            return self._about_machines(item.value.id, item)
        return None

    def _about_machines(self, name: str, item: ast.Subscript | ast.Attribute) -> str | None:
        if isinstance(item, ast.Attribute):
            if name in self._machines and item.attr not in METHODS:
                return f"machines have no {item.attr!r} here{nearest(item.attr, METHODS)}"
        elif name == "machines" and self._has_machines and isinstance(item.slice, ast.Constant):
            key = item.slice.value
            if isinstance(key, str) and key not in self._nodes and label_of(key) not in self._nodes:
                return f"there is no node {key!r}{nearest(key, self._nodes)}"
        return None


def _assigned(tree: ast.Module) -> set[str]:
    """Every name that the script binds anywhere, in whatever scope; ``*`` where it imports unknown ones."""
    found = set()
    for item in ast.walk(tree):
        if isinstance(item, ast.Name) and not isinstance(item.ctx, ast.Load):
            found.add(item.id)
        elif isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(item.name)
        elif isinstance(item, ast.arg):
            found.add(item.arg)
        elif isinstance(item, ast.alias):
            found.add((item.asname or item.name).split(".")[0])
        elif isinstance(item, ast.ExceptHandler) and item.name:
            found.add(item.name)
        elif type(item).__name__ in ("MatchAs", "MatchStar") and getattr(item, "name", None):
            found.add(getattr(item, "name"))  # noqa: B009 - these classes are missing in Python 3.9
        elif type(item).__name__ == "MatchMapping" and getattr(item, "rest", None):
            found.add(getattr(item, "rest"))  # noqa: B009
    return found
