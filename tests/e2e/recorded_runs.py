# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs as they are recorded, made up: one that failed, and one of a thousand nodes."""

from __future__ import annotations

import typing as t

from ansible_collections.immutable.compose.plugins.module_utils.model import codec
from ansible_collections.immutable.compose.plugins.module_utils.model.event import Event, EventKind, NodeState
from ansible_collections.immutable.compose.plugins.module_utils.model.findings import (
    Audited,
    Changes,
    Drifted,
    Findings,
    NodeAudit,
    NodeDrift,
    Occurrence,
)
from ansible_collections.immutable.compose.plugins.module_utils.model.release import Release
from ansible_collections.immutable.compose.plugins.module_utils.model.report import Check, CheckDetails, ReportDocument
from ansible_collections.immutable.compose.plugins.module_utils.model.result import Evidence, NodeResult
from ansible_collections.immutable.compose.plugins.module_utils.model.step import (
    Built,
    NodePlan,
    Planned,
    Settled,
    StepResult,
)
from ansible_collections.immutable.compose.plugins.module_utils.page.recorded import Looked, Recorded

#: When all of this was: seconds since 1970.
BEGIN = 1_790_000_000.0


class Tape:
    """Events, one after the other."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.events: list[Event] = []
        self.step = ""
        self.events.append(Event(BEGIN, "run", text="ada@desk, process 4711", result="99"))

    def add(self, kind: EventKind, seconds: float = 0.0, node: str = "", state: NodeState = "", text: str = "") -> None:
        self.now += seconds
        self.events.append(Event(self.now, kind, self.step, node, state, text))

    def begin(self, step: str) -> None:
        self.step = step
        self.add("begin")

    def end(self, seconds: float, result: StepResult) -> None:
        self.now += seconds
        self.events.append(Event(self.now, "end", self.step, result=codec.encode(result)))


def planned(roles: t.Mapping[str, t.Sequence[str]], **more: t.Any) -> Planned:
    """All nodes of these roles get another image."""
    nodes = {
        name: NodePlan("replace", role, f"0new-site-{role}", f"0old-site-{role}", ["another image"])
        for role, names in roles.items()
        for name in names
    }
    images = {role: f"0new-site-{role}" for role in roles}
    packages = {role: {"nginx": ["1.22.0-1", "1.24.0-2"], "libssl3": ["3.0.11", "3.0.13"]} for role in roles}
    return Planned(False, True, False, nodes, [], images, packages, None, **more)


def release(number: int, roles: t.Mapping[str, t.Sequence[str]]) -> Release:
    nodes = {name: role for role, names in roles.items() for name in names}
    return Release(
        number=number,
        deployment="site",
        composition="abc",
        revision="0123456789abcdef",
        images={role: f"{number}old-site-{role}" for role in roles},
        nodes=nodes,
        ports={},
        test_script="",
        created=f"2026-01-{number:02d}T12:00:00Z",
        previous=number - 1 or None,
        checks={"passed": 4 * len(nodes)},
    )


ROLES = {"web": ["web1", "web2", "web3"], "db": ["db1"]}


def failed(output: str = "connection refused", message: str = "unit nginx.service has failed") -> Recorded:
    """``web2`` does not pass, and the run goes back."""
    tape = Tape()
    tape.begin("plan")
    tape.end(0.6, planned(ROLES))
    tape.begin("build")
    tape.add("line", 3.0, text="build web: packing the root file system")
    tape.end(2.0, Built(True, ["web"], {"web": "/nix/store/bundle"}))
    tape.begin("stage")
    names = [name for each in ROLES.values() for name in each]
    for name in names:
        tape.add("node", 0.1, name, "staged")
    tape.end(0.1, StepResult(True))
    tape.begin("switch")
    for number, wave in enumerate((["db1", "web1"], ["web2", "web3"]), 1):
        tape.add("wave", 0.1, text=f"switch: wave {number} of 2: {', '.join(wave)}")
        for name in wave:
            tape.add("node", 0.0, name, "down")
        for name in wave:
            tape.add("node", 1.2, name, "booting")
            tape.add("line", 0.0, text=f"switch {name}: started")
        if number == 1:
            for name in wave:
                tape.add("node", 1.5, name, "verified")
    tape.end(0.1, StepResult(True))
    tape.begin("verify")
    tape.add("node", 2.0, "web3", "verified")
    tape.add("node", 1.0, "web2", "failed", message)
    tape.add("line", 0.0, text=f"verify web2: {message} (4 of 4)")
    tape.end(0.2, StepResult(False))
    tape.begin("settle")
    for name in reversed(names):
        tape.add("node", 0.1, name, "down")
    for name in names:
        tape.add("node", 0.9, name, "back")
    veto = f"web2: verify: {message}"
    back = "back on its last verified image"
    results = {name: NodeResult(False, True, f"taken back, because {veto}; {back}") for name in names}
    evidence = Evidence(["units"], journal=output)
    results["web2"] = NodeResult(False, True, f"verify: {message}; {back}", evidence=evidence)
    tape.end(0.3, Settled(True, results, names, 2, [], veto=veto))
    details = CheckDetails(3, 'web2.succeed("curl -f http://localhost")', [], "curl -f http://localhost", 7, output)
    checks = [
        *(Check(check, True, name, seconds=0.1, seen="SSH") for name in names for check in ("reachable", "identity")),
        Check("units", False, "web2", message, 0.2),
        Check("testScript", False, "web2", f"line 3: {message}", 0.4, details),
    ]
    report = ReportDocument("site", False, names, ["web2"], "", None, checks, {"web2": {"journal": output}})
    nodes = {name: NodeDrift(True) for name in names}
    nodes["web1"] = NodeDrift(False, "files changed: /etc/motd", drifted=True, files=Changes(["/etc/motd"]))
    drift = Drifted(False, nodes, ["web1"], ["web1"], 2)
    found = Occurrence("DSA-1-1", "libssl3", "3.0.11", ["web"], ["2old-site-web"], [2], ["web1"])
    audit = Audited(False, True, [found], {"web1": NodeAudit(False, "libssl3", "2old-site-web")}, ["web1"], [], [])
    return Recorded(
        deployment="site",
        platform="nspawn",
        events=tape.events,
        releases=[release(2, ROLES), release(1, ROLES)],
        current=2,
        looked=[Looked("verify", tape.now, report)],
        drift=Findings("2026-01-03T12:00:00Z", drift=drift),
        audit=Findings("2026-01-03T12:00:00Z", audit=audit),
    )


def many(nodes: int = 1000, lines: int = 5000) -> Recorded:
    """All is well, and there is a lot of it: five events for each node, and lines."""
    roles = {f"role{each}": [f"node{each}-{number}" for number in range(nodes // 10)] for each in range(10)}
    names = [name for each in roles.values() for name in each]
    tape = Tape()
    tape.begin("plan")
    tape.end(1.0, planned(roles))
    tape.begin("switch")
    states: tuple[NodeState, ...] = ("staged", "down", "booting", "verified")
    for state in states:
        for name in names:
            tape.add("node", 0.01, name, state)
    for number in range(lines):
        tape.add("line", 0.01, text=f"switch {names[number % nodes]}: started ({number} of {lines})")
    tape.end(0.1, StepResult(True))
    tape.begin("settle")
    tape.end(0.1, Settled(True, {name: NodeResult(True, True) for name in names}, [], 3, []))
    checks = [
        Check(check, True, name, seconds=0.1, seen="SSH, by its own host key")
        for name in names
        for check in ("reachable", "identity", "units", "port 80")
    ]
    report = ReportDocument("site", True, names, [], "", None, checks, {})
    return Recorded("site", "proxmox", tape.events, [release(3, roles)], 3, [Looked("verify", tape.now, report)])
