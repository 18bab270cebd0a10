# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""While nodes are waited for, their platform is asked whether they still run: dead is not slow. PRIVATE."""

from __future__ import annotations

import threading
import time
import typing as t
from contextlib import contextmanager

from ..errors import ComposeError
from ..model.deployment import Node
from ..nodes.connection import Connection
from ..nodes.words import last_lines
from ..platforms.base import Lost, Platform
from ..progress import Progress

#: Seconds between two questions, and how much longer than the answer took that has to be.
INTERVAL, SPARING = 1.0, 20
#: Seconds for a node that looks lost to answer nevertheless: an emergency mode may have an SSH server of its own. Or
#: this part of the time that it was waited for, as slow nodes need.
GRACE, GRACE_PART = 10.0, 0.25
#: Lines of the console that are shown.
LINES = 12


@contextmanager
def watching(
    platform: Platform,
    waited_for: t.Callable[[], t.Mapping[str, Connection]],
    progress: Progress,
) -> t.Iterator[None]:
    """While the body runs, whoever waits for a node that cannot answer any more is told so, with its last words.

    :param waited_for: the nodes that are not done yet, and who waits for them.
    """
    stop = threading.Event()
    start = time.monotonic()
    suspects: dict[str, float] = {}

    def look() -> None:
        connections = waited_for()
        nodes = [platform.deployment.node(name) for name in connections]
        lost = platform.lost(nodes) if nodes else {}
        now = time.monotonic()
        for name in [name for name in suspects if name not in lost]:
            del suspects[name]
        for node in nodes:
            if node.name not in lost:
                continue
            suspected = suspects.setdefault(node.name, now)
            grace = max(GRACE, GRACE_PART * (suspected - start))
            answers = not connections[node.name].last_error
            if lost[node.name].certain or (not answers and now - suspected >= grace):
                connections[node.name].give_up(epitaph(platform, node, lost[node.name]))

    def watch() -> None:
        pause, told = INTERVAL, ""
        while not stop.wait(pause):
            began = time.monotonic()
            try:
                look()
            except Exception as error:  # a help only: the deadline still holds
                if str(error) != told:
                    told = str(error)
                    progress.say(f"whether nodes still run cannot be told: {told}")
            pause = max(INTERVAL, SPARING * (time.monotonic() - began))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(INTERVAL)  # a platform that is slow to answer is not waited for


def epitaph(platform: Platform, node: Node, lost: Lost) -> str:
    """Why a node does not answer, with the last lines of its console."""
    said = last_words(platform, node)
    return f"{lost.why}; its console said last:\n{said}" if said else lost.why


def last_words(platform: Platform, node: Node) -> str:
    """The last lines of a node's console; empty where nobody has them."""
    try:
        return last_lines(platform.console(node, 4 * LINES), LINES)
    except (ComposeError, OSError):
        return ""
