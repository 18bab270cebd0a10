# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks that every node has to pass: it answers, runs what it should, and is up. PRIVATE to the collection."""

from __future__ import annotations

import json
import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass

from ..describe.units import matches
from ..errors import ComposeError
from ..model.report import Check
from ..nodes.connection import Connection, GivenUp, HostKeyMismatch, SSHError
from ..nodes.probe import Expected, Facts, facts_of, probe
from ..nodes.words import clean
from ..platforms.base import Platform
from ..progress import TOLD, Progress
from .deadline import Deadline, DeadlineError
from .follow import follow_checks
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


def check_nodes(nodes: t.Mapping[str, Expected], look: Look, progress: Progress) -> list[Check]:
    """Check all nodes at the same time. Whatever happens to one is that node's result."""
    if not nodes:
        return []
    missing = dict.fromkeys(nodes)
    waiting: dict[str, Connection] = {}
    lock = threading.Lock()

    def check(name: str) -> list[Check]:
        start = time.monotonic()
        try:
            connection = look.connect(name)
            with lock:
                waiting[name] = connection
            checks = _check_node(name, nodes[name], connection, look)
        except Exception as error:  # its own failure, or nobody's result would be known
            message = error.message if isinstance(error, ComposeError) else f"{type(error).__name__}: {error}"
            checks = [Check(REACHABLE, False, name, clean(message), time.monotonic() - start)]
        with lock:
            del missing[name]
            waiting.pop(name, None)
            done = len(nodes) - len(missing)
        messages = [check.message for check in checks if check.message]
        told = messages if not all(check.ok for check in checks) else ["ok", *messages]
        if messages or len(nodes) <= TOLD or done == len(nodes):
            progress.say(f"verify {name}: {'; '.join(told)} ({done} of {len(nodes)})")
        return checks

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
    # A thread each: a node that does not come up must not take the place of one that does.
    with progress.waiting(describe), watch, ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        return [check for checks in pool.map(check, nodes) for check in checks]


def _check_node(name: str, expected: Expected, connection: Connection, look: Look) -> list[Check]:
    deadline = Deadline(look.timeout)
    start = time.monotonic()

    def silent(message: str) -> list[Check]:
        return [Check(REACHABLE, False, name, clean(message), time.monotonic() - start)]

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
    return [Check(REACHABLE, True, name, seconds=reached - start), *judge(name, expected, facts, seconds)]


def judge(name: str, expected: Expected, facts: Facts, seconds: float) -> list[Check]:
    """The results for one node.

    :param facts: what the probe printed: ``identity``, ``state`` (missing: the node did not come up in time),
        ``failed`` units, ``why`` and what they ``said`` last, ``closed`` ports; what it was ``unsealed`` for; and
        ``jobs`` that systemd waits for.
    """
    identity = clean(" ".join(facts.get("identity", [])))
    right = identity == expected.identity
    message = "" if right else f"runs {identity or 'an unknown image'}, expected {expected.identity}"
    checks = [Check("identity", right, name, message)]

    state = clean(facts.get("state", ["starting"])[0])
    failed = [unit for unit in facts.get("failed", []) if not matches(unit, expected.may_fail)]
    excused = [unit for unit in facts.get("failed", []) if matches(unit, expected.may_fail)]
    message = ""
    if failed:
        message = f"failed units: {', '.join(_explained(unit, facts) for unit in failed)}"
    elif state in ("initializing", "starting") and "state" in facts:
        message = "the system is still starting"
    elif state == "starting":
        jobs = "; ".join(" ".join(job.split()) for job in facts.get("jobs", [])) or "none"
        message = f"the system did not come up in time; jobs: {clean(jobs)}"
    elif state != "running" and not (state == "degraded" and excused):
        message = f"the system is {state!r}, expected 'running'"
    ok = not message
    if ok and excused:
        message = f"failed, as they may: {', '.join(_explained(unit, facts) for unit in excused)}"
    checks.append(Check("units", ok, name, message, seconds))
    if facts.get("unsealed"):
        told = "; ".join(unsealed(facts["unsealed"]))
        checks.append(Check("sealed", True, name, f"changed by hand until it boots again: {told}"))
    if right and state != "starting":
        for port in expected.ports:
            is_open = str(port) not in facts.get("closed", [])
            checks.append(Check(f"port {port}", is_open, name, "" if is_open else "accepts no connection"))
        checks += follow_checks(name, expected.follow, facts)
    return checks


def unsealed(lines: t.Sequence[str]) -> list[str]:
    """Why a node was changed though it was sealed: each reason once, by whom, when, and the actions."""
    reasons: dict[str, list[str]] = {}
    for line in lines:
        try:
            entry = json.loads(line)
            reasons.setdefault(f"{entry['reason']!r} by {entry['by']} at {entry['time']}", []).append(entry["action"])
        except (KeyError, TypeError, ValueError):
            reasons.setdefault("unknown", []).append(line)
    return [clean(f"{reason} ({', '.join(dict.fromkeys(actions))})") for reason, actions in reasons.items()]


def _explained(unit: str, facts: Facts) -> str:
    """A failed unit with its reason and its last lines: ``a.service (exit-code, status 3: no such file)``."""

    def about(key: str) -> list[str]:
        lines = (line.partition(" ") for line in facts.get(key, []))
        return [clean(rest).strip() for of, _space, rest in lines if of == unit and rest.strip()]

    why = dict(line.partition("=")[::2] for line in about("why"))
    reason = why.get("Result", "")
    status = why.get("ExecMainStatus", "0")
    if status not in ("", "0"):
        reason = f"{reason}, status {status}"
    words = " | ".join(about("said"))
    told = ": ".join(part for part in (reason, words) if part)
    return f"{clean(unit)} ({told})" if told else clean(unit)
