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
from ..platforms.hands import Ability
from .machine_names import MachineNames

#: What a test script is called in results and messages (its subtests are ``testScript: NAME``).
SCRIPT = "testScript"
#: Names that every test script finds defined besides its nodes, and what they need of the platform: see docs/checks.md.
SYMBOLS: t.Mapping[str, Ability | None] = {
    "BaseMachine": None,
    "Machine": None,
    "join_all": Ability.POWER,
    "log": None,
    "machines": None,
    "os": None,
    "parallel": None,
    "polling_condition": None,
    "record": None,
    "retry": None,
    "serial_stdout_off": None,
    "serial_stdout_on": None,
    "start_all": None,
    "subtest": None,
    "t": None,
}

#: Public attributes of a ``Machine``, and what they need of the platform; named here because importing it, and paramiko
#: with it, takes longer than a check.
METHODS: t.Mapping[str, Ability | None] = {
    "block": Ability.CABLE,
    "booted": None,
    "connect": None,
    "connected": None,
    "copy_from_host": None,
    "copy_from_host_via_shell": None,
    "copy_from_machine": None,
    "copy_from_vm": None,
    "crash": Ability.POWER,
    "execute": None,
    "fail": None,
    "get_console_log": None,
    "get_unit_info": None,
    "get_unit_property": None,
    "is_up": None,
    "log": None,
    "name": None,
    "nested": None,
    "out_dir": None,
    "reboot": Ability.POWER,
    "require_unit_state": None,
    "role": None,
    "send_console": Ability.KEYBOARD,
    "shutdown": Ability.POWER,
    "sleep": None,
    "start": None,
    "start_job": None,
    "stop_job": None,
    "succeed": None,
    "systemctl": None,
    "unblock": Ability.CABLE,
    "wait_for_closed_port": None,
    "wait_for_console_text": None,
    "wait_for_file": None,
    "wait_for_open_port": None,
    "wait_for_open_unix_socket": None,
    "wait_for_shutdown": Ability.POWER,
    "wait_for_unit": None,
    "wait_until_fails": None,
    "wait_until_succeeds": None,
}

_NO_SCREEN = "nodes have no screen here, no keyboard and no mouse"
_NO_EMULATOR = "nodes need not be virtual machines here"
_NOT_ALONE = "nobody is there to type"
#: What NixOS's driver has and nobody has here, and why.
REFUSED: t.Mapping[str, str] = {
    **dict.fromkeys(
        (
            "dump_tty_contents",
            "get_screen_text",
            "get_screen_text_variants",
            "get_tty_text",
            "get_window_names",
            "screenshot",
            "send_chars",
            "send_key",
            "wait_for_text",
            "wait_for_window",
            "wait_for_x",
            "wait_until_tty_matches",
        ),
        _NO_SCREEN,
    ),
    **dict.fromkeys(
        ("forward_port", "qmp_client", "send_monitor_command", "wait_for_monitor_prompt", "wait_for_qmp_event"),
        _NO_EMULATOR,
    ),
    **dict.fromkeys(("console_interact", "debug", "shell_interact"), _NOT_ALONE),
    "create_machine": "machines are those of the deployment; give it a role and a node for each",
    "driver": "use machines, start_all, join_all and log themselves",
    "machines_nspawn": "use machines: all nodes run on one platform",
    "machines_qemu": "use machines: all nodes run on one platform",
    "release": "nodes are kept; crash, shutdown and start are there",
    "run_tests": "the script is what runs",
    "switch_root": "nodes have left their initrd before the script runs",
    "test_script": "the script is what runs",
    "vlans": "all nodes are on the deployment's network",
}


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
    for word in names_in(text) - {*found, *SYMBOLS, *dir(builtins)}:
        if label_of(word) in labels:
            found[word] = label_of(word)
    return found


def names_in(text: str) -> set[str]:
    """Every name that a script uses; none if it is no script."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {item.id for item in ast.walk(ast.parse(text)) if isinstance(item, ast.Name)}
    except (SyntaxError, ValueError):
        return set()


def names_read(text: str) -> set[str]:
    """Names whose values a script looks at, other than those that it only sets; none if it is no script."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return set()
    changed = {id(item.target) for item in ast.walk(tree) if isinstance(item, ast.AugAssign)}
    return {
        item.id
        for item in ast.walk(tree)
        if isinstance(item, ast.Name) and (isinstance(item.ctx, ast.Load) or id(item) in changed)
    }


def modules_needed(text: str) -> dict[str, int]:
    """Modules without which a script cannot even begin: the first part of their names → line."""
    found: dict[str, int] = {}
    for item in ast.parse(text).body:
        names: list[str] = []
        if isinstance(item, ast.Import):
            names = [alias.name for alias in item.names]
        elif isinstance(item, ast.ImportFrom) and item.module and not item.level:
            names = [item.module]
        for name in names:
            found.setdefault(name.partition(".")[0], item.lineno)
    return found


#: Commands after which a node may be off.
_SHUTS_DOWN = re.compile(r"\b(halt|init [06]|kexec|poweroff|reboot|shutdown)\b")


def abilities_of(text: str) -> set[Ability]:
    """What a script may do with machines: each method or name that it mentions counts, also as a text, and commands."""
    try:
        tree = ast.parse(dedent(text))
    except (SyntaxError, ValueError):
        return set()
    words, needed = set(), set()
    for item in ast.walk(tree):
        if isinstance(item, ast.Attribute):
            words.add(item.attr)
        elif isinstance(item, ast.Name):
            words.add(item.id)
        elif isinstance(item, ast.Constant) and isinstance(item.value, str):
            words.add(item.value)
            if _SHUTS_DOWN.search(item.value):
                needed.add(Ability.POWER)
    found = {METHODS.get(word) or SYMBOLS.get(word) for word in words}
    return needed | {ability for ability in found if ability is not None}


def check_script(
    text: str,
    node_names: t.Iterable[str],
    platform: str = "",
    can: t.Collection[Ability] = tuple(Ability),
    values: t.Collection[str] = (),
) -> list[str]:
    """Refuse a script that cannot work; returns what Python warns of, with line number and line.

    :param node_names: all nodes of the deployment.
    :param platform: its platform's name.
    :param can: what that can do with machines.
    :param values: variables that are given to the script, besides those that every script has.
    :raises InputError: a syntax error, a node that does not exist, another undefined name, or a method that machines
        do not have there; with line number and line.
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
    judge = _Judge(list(node_names), tree, text, platform, can, values)
    for item in sorted(expressions, key=lambda item: (item.lineno, item.col_offset)):
        why = judge.complaint(item)
        if why:
            refuse(item.lineno, why)
    return list(dict.fromkeys(at(warning.lineno, str(warning.message)) for warning in found))


class _Judge:
    """Knows which names are defined when the script runs, and which of them are machines."""

    def __init__(
        self,
        nodes: t.Sequence[str],
        tree: ast.Module,
        text: str,
        platform: str,
        can: t.Collection[Ability],
        values: t.Collection[str],
    ) -> None:
        self._nodes = nodes
        self._platform = platform
        self._can = can
        self._assigned = _assigned(tree)
        variables_ = variables(nodes, text)
        self._hints = {*variables_, *SYMBOLS, *values, *self._assigned}
        self._known = {*self._hints, *dir(builtins), "__name__"}
        self._machines = MachineNames(tree, variables_, self._assigned)

    def complaint(self, item: ast.expr) -> str | None:
        """What is wrong with an expression."""
        if isinstance(item, ast.Name):
            return self._about_name(item.id)
        if isinstance(item, ast.Attribute) and self._machines.is_one(item.value):
            return self._about_method(item.attr)
        if isinstance(item, ast.Call) and isinstance(item.func, ast.Name) and item.func.id == "getattr":
            named = item.args[1].value if len(item.args) > 1 and isinstance(item.args[1], ast.Constant) else None
            if len(item.args) == 2 and isinstance(named, str) and self._machines.is_one(item.args[0]):
                return self._about_method(named)
        if isinstance(item, ast.Subscript) and self._machines.are_all(item.value):
            key = item.slice.value if isinstance(item.slice, ast.Constant) else None
            if isinstance(key, str) and key not in self._nodes and label_of(key) not in self._nodes:
                return f"there is no node {key!r}{nearest(key, self._nodes)}"
        return None

    def _about_name(self, name: str) -> str | None:
        if name in self._assigned or (name in self._known and name not in SYMBOLS):
            return None
        if name in SYMBOLS:
            return self._lacking(SYMBOLS[name], f"there is no {name!r}")
        if name in REFUSED:
            return f"there is no {name!r} here: {REFUSED[name]}"
        if "*" in self._assigned:
            return None
        hint = nearest(name, self._hints)
        return f"{name!r} is neither a node of the deployment nor defined in the script{hint}"

    def _about_method(self, name: str) -> str | None:
        if name in REFUSED:
            return f"machines have no {name!r} here: {REFUSED[name]}"
        if name not in METHODS:
            return f"machines have no {name!r} here{nearest(name, METHODS)}"
        return self._lacking(METHODS[name], f"machines have no {name!r}")

    def _lacking(self, ability: Ability | None, what: str) -> str | None:
        if ability is None or ability in self._can:
            return None
        return f"{what} on platform {self._platform!r}, which cannot {ability.value}"


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
        elif type(item).__name__ in ("MatchAs", "MatchStar", "TypeVar", "ParamSpec", "TypeVarTuple") and getattr(
            item, "name", None
        ):
            found.add(getattr(item, "name"))  # noqa: B009 - these classes are missing in Python 3.9
        elif type(item).__name__ == "MatchMapping" and getattr(item, "rest", None):
            found.add(getattr(item, "rest"))  # noqa: B009
    return found
