# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks that every node has to pass: it answers, runs what it should, and is up. PRIVATE to the collection."""

from __future__ import annotations

import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import dataclass

from ..errors import ComposeError
from ..model.report import Check
from ..nodes.connection import Connection, GivenUp, HostKeyMismatch, SSHError
from ..nodes.probe import Expected, facts_of, probe
from ..nodes.words import clean
from ..platforms.base import Platform
from ..progress import TOLD, Progress
from .deadline import Deadline, DeadlineError
from .judge import judge, seconds_up
from .report import REACHABLE
from .waiting import last_words, watching

#: Seconds between two looks at a node that goes down, and for the list of jobs of one that does not come up.
PAUSE, JOBS = 0.2, 10.0


BOOTING = "connected; its units and ports are not up yet"


@dataclass(frozen=True)
class Look:
    """How nodes are looked at.

    :param connect: gives the connection to a node, always the same one.
    :param timeout: seconds for each node.
    :param wait: until a node is up; else it is judged as it is now.
    """

    platform: Platform
    connect: t.Callable[[str], Connection]
    timeout: float
    wait: bool = True


@dataclass(frozen=True)
class Looked:
    """What came of looking at one node."""

    checks: t.Sequence[Check]
    #: Seconds since it was up, as it says.
    up: float = 0.0

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)


def check_nodes(nodes: t.Mapping[str, Expected], look: Look, progress: Progress) -> dict[str, Looked]:
    """Check all nodes at the same time. Whatever happens to one is that node's result."""
    if not nodes:
        return {}
    missing = dict.fromkeys(nodes)
    waiting: dict[str, Connection] = {}
    lock = threading.Lock()

    def check(name: str) -> Looked:
        start = time.monotonic()
        try:
            connection = look.connect(name)
            with lock:
                waiting[name] = connection
            return _check_node(name, nodes[name], connection, look)
        except Exception as error:  # its own failure, or nobody's result would be known
            message = error.message if isinstance(error, ComposeError) else f"{type(error).__name__}: {error}"
            return Looked([Check(REACHABLE, False, name, clean(message), time.monotonic() - start)])
        finally:
            with lock:
                del missing[name]
                waiting.pop(name, None)

    def tell(name: str, found: Looked, done: int) -> None:
        messages = [check.message for check in found.checks if check.message]
        progress.became(name, "verified" if found.ok else "failed", "" if found.ok else "; ".join(messages))
        told = ["ok", *messages] if found.ok else messages
        if messages or len(nodes) <= TOLD or done == len(nodes):
            progress.say(f"verify {name}: {'; '.join(told)} ({done} of {len(nodes)})")

    def describe() -> str:
        with lock:
            shown = [(name, waiting[name].last_error if name in waiting else "not tried yet") for name in missing]
        first = ", ".join(f"{name} ({error or BOOTING})" for name, error in shown[:3])
        more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
        return f"verify: waiting for {len(shown)} of {len(nodes)} nodes: {first}{more}"

    def waited_for() -> dict[str, Connection]:
        with lock:
            return dict(waiting)

    watch = watching(look.platform, waited_for, progress) if look.wait else nullcontext()
    # A thread each: a node that does not come up must not take the place of one that does. None of them tells what it
    # found: a thousand that write lines wait for each other, longer than all of their other work takes.
    with progress.waiting(describe), watch, ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        names = {pool.submit(check, name): name for name in nodes}
        for done, each in enumerate(as_completed(names), 1):
            tell(names[each], each.result(), done)
        return {name: each.result() for each, name in names.items()}


def _check_node(name: str, expected: Expected, connection: Connection, look: Look) -> Looked:
    deadline = Deadline(look.timeout)
    start = time.monotonic()

    def silent(message: str) -> Looked:
        return Looked([Check(REACHABLE, False, name, clean(message), time.monotonic() - start)])

    while True:
        try:
            connection.open(deadline.left())
            reached = time.monotonic()
            output = connection.run(probe(expected, wait=look.wait), deadline.left())
        except (HostKeyMismatch, GivenUp) as error:
            return silent(error.message)
        except SSHError:
            time.sleep(PAUSE)  # it may be on its way down from the image before
        except DeadlineError:
            why = connection.last_error or "the connection was lost again and again"
            said = last_words(look.platform, look.platform.deployment.node(name)) if look.wait else ""
            last = f"; its console said last:\n{said}" if said else ""
            return silent(f"no answer within {deadline.seconds:.0f} s; last error: {why}{last}")
        else:
            facts = facts_of(output)
            if facts.get("state") != ["stopping"] or not look.wait:
                break
            time.sleep(PAUSE)
    if output.timed_out:
        try:
            listed = connection.run("systemctl list-jobs --no-legend --no-pager | head -n 20", JOBS)
            facts["jobs"] = listed.stdout.decode("utf-8", "replace").splitlines()
        except ComposeError:
            facts["jobs"] = []  # only a part of the answer
    seconds = time.monotonic() - reached
    reachable = Check(REACHABLE, True, name, seconds=reached - start, seen="SSH, by its own host key")
    return Looked([reachable, *judge(name, expected, facts, seconds)], seconds_up(facts))
