# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a step says while it runs: lines, and on a terminal a bar for each role below them. PRIVATE to the collection.

The process that runs a task has no terminal of its own: Ansible prints what it is sent. So each change is one text,
which takes back the bars and draws them again. While a fleet step runs, nothing else is printed; at its end the bars
are gone.
"""

from __future__ import annotations

import io
import os
import re
import typing as t
from collections import Counter
from contextlib import suppress
from functools import partial

from ansible import constants as C
from ansible.utils.display import Display

from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Node

display = Display()

#: Bars that are drawn at once, at most.
ROLES = 12
#: Columns of a terminal in which there is no place for them.
NARROW = 40
#: Colours, as a terminal is told them.
_STYLE = re.compile(r"\x1b\[[\d;]*m")
#: What the counts of a role say, in this order, and how.
COLOURS: t.Mapping[str, str] = {
    "verified": "green",
    "back": "blue",
    "booting": "yellow",
    "down": "dim",
    "staged": "dim",
    "failed": "red",
}


class Screen:
    """Lines, as they come."""

    def line(self, text: str) -> None:
        """Say something."""
        display.display(text)

    def became(self, node: str, state: str) -> None:
        """Something became of a node. :param state: ``NodeState`` of model/event.py."""

    def end(self) -> None:
        """Nothing more can come."""


class Bars(Screen):
    """Lines above bars.

    :param nodes: that the step acts on.
    :param size: tells columns and lines of the terminal, which may change.
    :param write: prints a text and ends the line.
    """

    def __init__(
        self, nodes: t.Iterable[Node], size: t.Callable[[], tuple[int, int]], write: t.Callable[[str], None]
    ) -> None:
        self._roles = {node.name: node.role for node in nodes}
        self._total = Counter(self._roles.values())
        self._states: dict[str, str] = {}
        self._size = size
        self._write = write
        #: Columns of each bar that is there.
        self._drawn: list[int] = []

    def line(self, text: str) -> None:
        self._draw(text)

    def became(self, node: str, state: str) -> None:
        if node in self._roles and self._states.get(node) != state:
            self._states[node] = state
            self._draw()

    def end(self) -> None:
        self._states.clear()
        if self._drawn:
            self._draw()

    def _draw(self, *above: str) -> None:
        columns, height = self._size()
        # What has left the screen cannot be taken back; what was drawn on a wider one has become more lines.
        most = min(ROLES, height - 2) if columns >= NARROW else 0
        bars = self._bars(columns, most) if self._states and most > 0 else []
        rows = sum(-(-width // max(columns, 1)) for width in self._drawn)
        back = f"\x1b[{rows}A\x1b[J" if rows else ""
        lines = [*above, *bars]
        self._drawn = [len(_STYLE.sub("", each)) for each in bars]
        if back or lines:
            # Whoever prints it ends the last line: where none is left, the cursor would be one line too low.
            self._write(back + "\n".join(lines) if lines else f"{back}\x1b[A")

    def _bars(self, columns: int, most: int) -> list[str]:
        from rich.console import Console
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        counts: dict[str, Counter[str]] = {}
        for name, state in self._states.items():
            counts.setdefault(self._roles[name], Counter())[state] += 1
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True, max_width=24)
        table.add_column(width=max(columns // 3, 10))
        table.add_column(no_wrap=True)
        for role in sorted(counts)[:most]:
            count = counts[role]
            done = sum(count[state] for state in ("verified", "back", "failed"))
            told = [Text(f"{count[state]} {state}", how) for state, how in COLOURS.items() if count[state]]
            words = Text(f"{done}/{self._total[role]} ") + Text(", ").join(told)
            table.add_row(f"  {role}", ProgressBar(self._total[role], done), words)
        drawn = io.StringIO()
        Console(file=drawn, force_terminal=True, width=columns - 1, legacy_windows=False).print(table)
        return drawn.getvalue().rstrip("\n").split("\n")


def screen(pid: int, nodes: t.Iterable[Node]) -> Screen:
    """What a run shows its progress on.

    :param pid: of the ``ansible-playbook``.
    :param nodes: that the step acts on.
    """
    can = os.environ.get("TERM", "dumb") != "dumb" and not C.config.get_config_value("ANSIBLE_NOCOLOR")
    if not can or display.verbosity >= 3 or _size(pid)[0] < NARROW:  # with -vvv, connections say something, too
        return Screen()
    try:
        import rich.console  # noqa: F401
    except ImportError:
        return Screen()
    return Bars(nodes, partial(_size, pid), lambda text: display.display(text, screen_only=True))


def _size(pid: int) -> tuple[int, int]:
    """Columns and lines of the terminal that a process writes to; 0 where there is none, or nobody can tell."""
    with suppress(OSError):
        handle = os.open(f"/proc/{pid}/fd/1", os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            size = os.get_terminal_size(handle)
            return size.columns, size.lines
        finally:
            os.close(handle)
    return 0, 0
