# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the answers of a node are worth. PRIVATE to the collection."""

from __future__ import annotations

import ipaddress
import json
import typing as t
from contextlib import suppress

from ..describe.units import matches
from ..model.report import Check
from ..nodes.probe import LOOPBACK, RECENT, WIDTH, Expected, Facts
from ..nodes.words import clean, cut
from .follow import follow_checks
from .report import SEALED


def judge(name: str, expected: Expected, facts: Facts, seconds: float) -> list[Check]:
    """The results for one node.

    :param facts: what the probe printed: ``identity``, ``state`` (missing: the node did not come up in time),
        ``failed`` units, those that systemd started ``again``, ``why`` and what they ``said`` last, ``closed`` ports
        and who ``listens`` on them; what it was ``unsealed`` for; how long it is ``up``; and ``jobs`` that systemd
        waits for.
    """
    identity = clean(" ".join(facts.get("identity", [])))
    right = identity == expected.identity
    message = "" if right else f"runs {identity or 'an unknown image'}, expected {expected.identity}"
    checks = [Check("identity", right, name, message, seen=f"runs {identity}" if right else "")]

    state = clean(facts.get("state", ["starting"])[0])
    failed = [unit for unit in facts.get("failed", []) if not matches(unit, expected.may_fail)]
    again = {unit: rest for unit, _space, rest in (line.partition(" ") for line in facts.get("again", []))}
    restarted = [unit for unit in again if not matches(unit, expected.may_fail)]
    excused = [unit for unit in (*facts.get("failed", []), *again) if matches(unit, expected.may_fail)]
    message = ""
    if failed or restarted:
        parts = [f"failed units: {', '.join(_explained(unit, facts) for unit in failed)}"] if failed else []
        told = ", ".join(_explained(unit, facts, _restarts(again[unit])) for unit in restarted)
        parts += [f"units that end and are started again: {told}"] if restarted else []
        message = "; ".join(parts)
    elif state in ("initializing", "starting") and "state" in facts:
        message = "the system is still starting"
    elif state == "starting":
        jobs = "; ".join(" ".join(job.split()) for job in facts.get("jobs", [])) or "none"
        message = f"the system did not come up in time; jobs: {clean(jobs)}"
    elif state != "running" and not (state == "degraded" and excused):
        message = f"the system is {state!r}, expected 'running'"
    ok = not message
    if ok and excused:
        told = ", ".join(_explained(unit, facts, _restarts(again.get(unit, ""))) for unit in excused)
        message = f"failed, which may_fail allows: {told}"
    checks.append(Check("units", ok, name, message, seconds, seen=_units_seen(facts) if ok else ""))
    if facts.get("unsealed"):
        reasons = unsealed(facts["unsealed"])
        message = f"changed by hand until it boots again: {'; '.join(reasons)}"
        checks.append(Check(SEALED, True, name, message, seen="\n".join(reasons)))
    if right and state != "starting":
        for port in expected.ports:
            is_open = str(port) not in facts.get("closed", [])
            place = f"{expected.address or LOOPBACK}:{port}"
            message = "" if is_open else f"{place} accepts no connection: {_listeners(port, facts)}"
            seen = f"{place}, asked by the node itself" if is_open else ""
            checks.append(Check(port_check(port), is_open, name, message, seen=seen))
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


def port_check(port: int) -> str:
    """Name of the check of a port."""
    return f"port {port}"


def seconds_up(facts: Facts) -> float:
    """How long a node is up; 0 if it does not say."""
    with suppress(KeyError, ValueError):
        return max(0.0, float(facts["up"][0].split(" ")[0]))
    return 0.0


def _units_seen(facts: Facts) -> str:
    """What is behind the word that all units are well."""
    _up, _space, alive = facts.get("up", [""])[0].partition(" ")
    if not alive:
        return "services that failed to start: none that count"
    return (
        f"units that run or ended well: {clean(alive)}; that failed, or were started again in the last "
        f"{RECENT // 60} min: none that count; up for {seconds_up(facts):.0f} s"
    )


def _restarts(line: str) -> str:
    """How often a unit was started again, and when: ``restarted 3 times, last 5 s ago``."""
    count, _space, ago = line.partition(" ")
    if not count:
        return ""
    when = "and is about to be again" if ago == "0" else f"last {clean(ago)} s ago"
    return f"restarted {'once' if count == '1' else f'{clean(count)} times'}, {when}"


def _listeners(port: int, facts: Facts) -> str:
    """Who listens on a port instead."""
    found = []
    for line in facts.get("listens", []):
        number, address, name = (*line.split(" ", 2), "", "")[:3]
        if number == str(port):
            found.append(f"{clean(name) or 'something'} at {_address(address)}")
    return f"only {', '.join(dict.fromkeys(found))} listens" if found else "nothing listens on it"


def _address(written: str) -> str:
    """An address as the kernel writes it: words of 32 bits, each with the last byte first."""
    try:
        words = bytes.fromhex(written)
        data = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
        return str(ipaddress.ip_address(data))
    except ValueError:
        return clean(written)


def _explained(unit: str, facts: Facts, before: str = "") -> str:
    """A failed unit with its reason and its last lines: ``a.service (exit-code, status 3: no such file)``.

    :param before: a first reason.
    """

    def about(key: str) -> list[str]:
        lines = (line.partition(" ") for line in facts.get(key, []))
        told = [rest if len(rest.encode()) < WIDTH else cut(rest) for of, _space, rest in lines if of == unit]
        return [clean(rest).strip() for rest in told if rest.strip()]

    why = dict(line.partition("=")[::2] for line in about("why"))
    reason = why.get("Result", "")
    status = why.get("ExecMainStatus", "0")
    if status not in ("", "0"):
        reason = f"{reason}, status {status}"
    reason = "; ".join(filter(None, (before, reason if reason != "success" else "")))
    words = " | ".join(about("said"))
    told = ": ".join(part for part in (reason, words) if part)
    return f"{clean(unit)} ({told})" if told else clean(unit)
