# SPDX-License-Identifier: GPL-3.0-or-later
"""Bars below the lines of a step: what a terminal shows, and that nothing else on it is touched."""

from __future__ import annotations

import fcntl
import itertools
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import typing as t

import pytest
from terminals import Terminal

from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Node
from ansible_collections.immutable.compose.plugins.plugin_utils.terminal import Bars, Screen, screen

NODES = [*(Node(f"web{index}", "web", index, None) for index in range(1, 5)), Node("db1", "db", 1, None)]


@pytest.fixture
def shown() -> Terminal:
    terminal = Terminal()
    terminal.write("TASK [Switch]")
    return terminal


@pytest.fixture
def bars(shown: Terminal) -> Bars:
    return Bars(NODES, lambda: (80, 24), shown.write)


def told(shown: Terminal) -> list[str]:
    return [re.sub(r"[━╸╺ ]+", " ", line).strip() for line in shown.lines if line]


def test_there_is_a_bar_for_each_role_that_something_happens_to(bars: Bars, shown: Terminal) -> None:
    bars.line("  compose | switch: wave 1")
    for name in ("web1", "web2"):
        bars.became(name, "down")
    bars.became("web1", "booting")
    assert told(shown) == ["TASK [Switch]", "compose | switch: wave 1", "web 0/4 1 booting, 1 down"]
    bars.line("  compose | switch web1: started")
    bars.became("web1", "verified")
    bars.became("web2", "failed")
    bars.became("db1", "staged")
    assert told(shown)[2:] == ["compose | switch web1: started", "db 0/1 1 staged", "web 2/4 1 verified, 1 failed"]


def test_at_the_end_only_lines_are_left(bars: Bars, shown: Terminal) -> None:
    bars.line("  compose | stage: x")
    bars.became("web1", "staged")
    bars.became("db1", "staged")
    bars.end()
    shown.write("changed: [web1]")
    assert shown.lines == ["TASK [Switch]", "  compose | stage: x", "changed: [web1]", ""]


def test_what_does_not_change_is_not_drawn(bars: Bars, shown: Terminal) -> None:
    bars.end()
    bars.became("web1", "down")
    bars.became("web1", "down")
    bars.became("stranger", "down")
    assert shown.sent == 2


@pytest.mark.parametrize("columns", [40, 41, 60, 200])
def test_no_bar_is_wider_than_the_terminal(shown: Terminal, columns: int) -> None:
    nodes = [Node(f"a{index}", "r" * 60, index, None) for index in range(1, 200)]
    bars = Bars(nodes, lambda: (columns, 24), shown.write)
    for node, state in zip(nodes, itertools.cycle(("verified", "back", "booting", "down", "staged", "failed"))):
        bars.became(node.name, state)
    assert max(map(len, shown.lines)) < columns


def test_no_more_bars_than_the_terminal_has_lines(shown: Terminal) -> None:
    nodes = [Node(f"a{index}", f"role{index}", 1, None) for index in range(10)]
    bars = Bars(nodes, lambda: (80, 6), shown.write)
    for node in nodes:
        bars.became(node.name, "booting")
    assert [line.split()[0] for line in told(shown)[1:]] == ["role0", "role1", "role2", "role3"]


def test_a_terminal_that_becomes_narrower_is_left_clean() -> None:
    sizes = [(160, 24)]
    sent: list[str] = []
    bars = Bars(NODES, lambda: sizes[-1], sent.append)
    bars.became("web1", "booting")
    bars.became("db1", "booting")
    widths = [len(re.sub(r"\x1b\[[\d;]*[mAJ]", "", line)) for line in sent[-1].split("\n")]
    sizes.append((50, 24))
    bars.became("web2", "booting")
    rows = sum(-(-width // 50) for width in widths)  # as a terminal has them that wraps what it has shown
    assert sent[-1].startswith(f"\x1b[{rows}A\x1b[J") and rows > len(widths)
    sizes.append((30, 24))
    bars.became("web3", "booting")
    bars.line("a line")
    assert sent[-1] == "a line", "nothing is left to be taken back, and there is no place for bars"


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[t.Callable[[int], Screen]]:
    """What a run shows its progress on, of which some file is standard output."""
    monkeypatch.setenv("TERM", "xterm")
    for name in ("ANSIBLE_NOCOLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    runs: list[subprocess.Popen[bytes]] = []

    def of(output: int) -> Screen:
        runs.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=output))
        return screen(runs[-1].pid, NODES)

    yield of
    for run in runs:
        run.communicate(b"\n")


def test_only_a_terminal_that_is_wide_enough_has_bars(on: t.Callable[[int], Screen]) -> None:
    there, here = pty.openpty()
    terminal_of = on(here)
    assert not isinstance(terminal_of, Bars)  # 0 columns
    fcntl.ioctl(here, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    assert isinstance(on(here), Bars)
    with open(os.devnull, "w", encoding="utf-8") as nothing:
        assert not isinstance(on(nothing.fileno()), Bars)
    os.close(there)


@pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("TERM", None), ("NO_COLOR", "1")])
def test_a_terminal_that_can_do_nothing_has_lines(
    on: t.Callable[[int], Screen], monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    assert not isinstance(on(1), Bars)
