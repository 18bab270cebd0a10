# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verification of a batch: built-in checks, then the test script, then the report. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from ..composition.model import Deployment
from ..errors import ComposeError
from ..platforms.base import Platform
from ..progress import Progress
from ..ssh.connection import Connection, connect
from ..ssh.keys import Keys
from .builtin import Expected, check_nodes
from .deadline import Deadline
from .driver import NAME, TestScript
from .machine import Machine
from .report import Check, Report

#: How many failed nodes the report shows journal and console of, and how many lines of each.
EVIDENCE_NODES, EVIDENCE_LINES = 10, 50
#: Seconds for the journal of a failed node.
JOURNAL = 10.0


@dataclass(frozen=True)
class Verification:
    """What is to be verified."""

    deployment: Deployment
    platform: Platform
    keys: Keys
    #: Node → identity of the image that it has to run. These nodes are the batch; the test script sees all nodes.
    identities: t.Mapping[str, str]
    #: Node → TCP ports that must accept connections.
    ports: t.Mapping[str, t.Sequence[int]] = field(default_factory=dict)
    test_script: str = ""
    #: Directory for the result files.
    results: str = ""


def verify(what: Verification, progress: Progress) -> Report:
    """Verify a batch and write the report. The test script runs only if the nodes themselves are well."""
    deadline = Deadline(what.deployment.verify_timeout)
    connections = _Connections(what)
    try:
        expected = {
            name: Expected(identity, what.ports.get(name, ()), what.deployment.node(name).address)
            for name, identity in what.identities.items()
        }
        boot_timeout = min(what.deployment.boot_timeout, what.deployment.verify_timeout)
        checks = check_nodes(expected, connections.to, boot_timeout, progress)
        if what.test_script.strip() and all(check.ok for check in checks):
            checks += _run_script(what, connections, deadline, progress)
        report = Report(what.deployment.name, list(what.identities), checks)
        report = Report(report.deployment, report.batch, checks, _evidence(what, report.failed_nodes, connections))
        report = report.masked(progress.mask)
        report.write(what.results)
        return report
    finally:
        connections.close()


class _Connections:
    """One connection per node, made when first asked for."""

    def __init__(self, what: Verification) -> None:
        self._what = what
        self._made: dict[str, Connection] = {}

    def to(self, name: str) -> Connection:
        if name not in self._made:
            platform, node = self._what.platform, self._what.deployment.node(name)
            connection = platform.shell(node) or connect(name, platform.endpoint(node), self._what.keys)
            # Two threads may get here at once; both must end up with the same one.
            return self._made.setdefault(name, connection)
        return self._made[name]

    def close(self) -> None:
        for connection in self._made.values():
            connection.close()


def _run_script(what: Verification, connections: _Connections, deadline: Deadline, progress: Progress) -> list[Check]:
    machines = [
        Machine(
            node.name,
            connections.to(node.name),
            deadline,
            role=node.role,
            console=partial(what.platform.console, node),
            results=what.results,
            say=progress.say,
        )
        for node in what.deployment.nodes
    ]
    checks = TestScript(what.test_script, machines, deadline, progress).run()
    progress.say(f"{NAME}: {'ok' if checks[-1].ok else checks[-1].message}")
    return checks


def _evidence(what: Verification, failed: t.Sequence[str], connections: _Connections) -> dict[str, dict[str, str]]:
    """Journal and console of the first failed nodes; what cannot be had is left out."""

    def collect(name: str) -> dict[str, str]:
        found = {}
        connection = connections.to(name)
        if not connection.last_error:
            try:
                output = connection.run(f"journalctl -b -n {EVIDENCE_LINES} --no-pager", JOURNAL)
                found["journal"] = output.stdout.decode("utf-8", "replace")
            except ComposeError as error:
                found["journal"] = str(error)
        try:
            found["console"] = what.platform.console(what.deployment.node(name), EVIDENCE_LINES)
        except (ComposeError, OSError) as error:
            found["console"] = str(error)
        return found

    names = list(failed[:EVIDENCE_NODES])
    if not names:
        return {}
    with ThreadPoolExecutor(max_workers=len(names)) as pool:
        return dict(zip(names, pool.map(collect, names)))
