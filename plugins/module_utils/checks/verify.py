# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verification of a batch: built-in checks, then the test script, then the report. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial

from ..errors import ComposeError
from ..model.deployment import Deployment
from ..model.follow import Follows
from ..model.free import Parameters
from ..model.report import Check, ScriptReport
from ..nodes.connection import Connection, SSHError, connect
from ..nodes.endpoint import Endpoint
from ..nodes.keys import Keys
from ..nodes.probe import Expected
from ..nodes.words import clean
from ..platforms.base import Platform
from ..progress import Progress, listed
from .builtin import Look, check_nodes
from .console import Console
from .deadline import Deadline
from .facts import ask_facts
from .hands import Hands
from .keeper import Keeper
from .machine import Machine
from .report import REACHABLE, NodeReport, Report
from .script import SCRIPT
from .script_process import ScriptProcess
from .settled import ask_others, look_again

#: How many failed nodes the report shows journal and console of, and how many lines of each.
EVIDENCE_NODES, EVIDENCE_LINES = 10, 50
#: Seconds for the journal of a failed node.
JOURNAL = 10.0
#: Name of the check of a node whose machine the test script switched off or unplugged.
AFTER = "after the script"
#: Seconds for a node to answer that is only looked at.
GLANCE = 10.0


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
    #: Node → units, or patterns for them, whose failure counts for nothing; besides those of the deployment.
    may_fail: t.Mapping[str, t.Sequence[str]] = field(default_factory=dict)
    #: Node → directories that follow a git repository.
    follow: t.Mapping[str, Follows] = field(default_factory=dict)
    #: Nodes whose failure does not keep the test script from running: it is known already, and not of this run.
    ill: t.Collection[str] = ()
    test_script: str = ""
    #: Nobody else does anything to the deployment meanwhile: a test script may switch machines.
    alone: bool = False
    #: Seconds for which nodes have to be up, and well.
    stable_for: float = 0.0
    #: Directory for the result files.
    results: str = ""
    #: Variables of the test script, besides those that each has.
    values: Parameters = field(default_factory=dict)
    #: Ask all nodes what they are made of.
    facts: bool = False

    def expected(self) -> dict[str, Expected]:
        """What each node of the batch has to be."""
        return {
            name: Expected(
                identity,
                self.ports.get(name, ()),
                self.platform.port_address(self.deployment.node(name)),
                (*self.deployment.may_fail, *self.may_fail.get(name, ())),
                self.follow.get(name, {}),
            )
            for name, identity in self.identities.items()
        }


def verify(what: Verification, progress: Progress) -> Report:
    """Verify a batch and write the report: a result for each node, whatever happens to one of them.

    The test script runs only if the nodes themselves are well.
    """
    deadline = Deadline(what.deployment.verify_timeout)
    connections = _Connections(what)
    boot_timeout = min(what.deployment.boot_timeout, what.deployment.verify_timeout)
    hands = Hands(what.platform, Keeper(what.deployment), alone=what.alone)
    try:
        look = Look(what.platform, connections.to, boot_timeout)
        script = None
        with ScriptProcess(progress) if what.test_script.strip() else nullcontext() as process:
            checks = _check_batch(what, look, progress)
            if process is not None:
                bad = list(
                    dict.fromkeys(str(check.node) for check in checks if not check.ok and check.node not in what.ill)
                )
                if bad:
                    script = ScriptReport(False, ran=False, message=f"not started, because of {', '.join(bad)}")
                else:
                    found = _run_script(process, what, hands, connections, deadline, progress)
                    script = _script_report(found[-1])
                    checks += found + _put_back(what, hands, look, connections, progress)
            records = process.records if process is not None else ()
        facts = ask_facts([node.name for node in what.deployment.nodes], connections.to) if what.facts else {}
        report = Report(what.deployment.name, list(what.identities), checks, {}, script, records, facts)
        report = replace(report, evidence=_evidence(what, report.failed_nodes, connections))
        report = report.masked(progress.mask)
        report.write(what.results)
        return report
    finally:
        connections.close()


def _put_back(
    what: Verification, hands: Hands, look: Look, connections: _Connections, progress: Progress
) -> list[Check]:
    """Undo what the script did to machines, and see that these nodes are what they were."""
    outcomes = hands.undo(connections.silent())
    if not outcomes:
        return []
    progress.say(f"{SCRIPT}: putting back and looking again at {listed(outcomes)}")
    checks = [Check(AFTER, False, name, why) for name, why in outcomes.items() if why]
    back = [name for name, why in outcomes.items() if not why]
    for name in back:
        connections.renew(name, hands.way_to(name))
    expected = what.expected()
    found = check_nodes({name: expected[name] for name in back if name in expected}, look, progress)
    for node in found.values():
        checks += [check for check in node.checks if not check.ok]
    for name in back:
        if name not in expected:  # of others it is not known what they have to be
            checks += _answers(name, look)
    failed = {check.node for check in checks}
    return [*checks, *(Check(AFTER, True, name, seen="is what it was before") for name in back if name not in failed)]


def _answers(name: str, look: Look) -> list[Check]:
    try:
        look.connect(name).open(look.timeout)
    except ComposeError as error:
        return [Check(REACHABLE, False, name, clean(error.message))]
    return []


def _check_batch(what: Verification, look: Look, progress: Progress) -> list[Check]:
    """The built-in checks: of each node, then of the nodes among each other."""
    nodes = what.expected()
    found = look_again(nodes, check_nodes(nodes, look, progress), look, what.stable_for, progress)
    # Neighbours in the ring in which they ask each other should be of different roles: firewalls know roles.
    others = [node.name for node in what.deployment.nodes if node.name not in found]
    order = sorted(found, key=lambda name: (what.deployment.node(name).index, name))
    checks = ask_others(nodes, {name: found[name] for name in order}, others, look.connect)
    return [check for name in found for check in checks[name]]


def ill_nodes(what: Verification, progress: Progress, seconds: float = GLANCE) -> dict[str, NodeReport]:
    """Those nodes of a batch that do not pass the built-in checks as they are now, by name. Nothing is waited for.

    :param seconds: for a node to answer.
    """
    connections = _Connections(what)
    try:
        look = Look(what.platform, connections.to, seconds, wait=False)
        found = check_nodes(what.expected(), look, progress)
        checks = [check for node in found.values() for check in node.checks]
        report = Report(what.deployment.name, list(what.identities), checks).masked(progress.mask)
    finally:
        connections.close()
    return {name: node for name, node in report.nodes.items() if not node.ok}


class _Connections:
    """One connection per node, made when first asked for."""

    def __init__(self, what: Verification) -> None:
        self._what = what
        self._made: dict[str, Connection] = {}

    def to(self, name: str) -> Connection:
        """:raises ComposeError: nobody knows how to reach the node."""
        if name not in self._made:
            platform, node = self._what.platform, self._what.deployment.node(name)
            connection = platform.shell(node) or connect(name, platform.endpoint(node), self._what.keys)
            # Two threads may get here at once; both must end up with the same one.
            return self._made.setdefault(name, connection)
        return self._made[name]

    def for_script(self, name: str) -> Connection:
        """The same for a test script, which may never use it: a node that nobody can reach fails when it is used."""
        try:
            return self.to(name)
        except ComposeError as error:
            return t.cast(Connection, _Unreachable(name, error.message))

    def silent(self) -> list[str]:
        """Nodes that answered and do not any more."""
        return [name for name, connection in self._made.items() if connection.last_error and connection.opened]

    def renew(self, name: str, endpoint: Endpoint) -> None:
        """The node was put back: what is known of its connection is worth nothing."""
        if name in self._made:
            self._made[name].move(endpoint)

    def close(self) -> None:
        for connection in self._made.values():
            connection.close()


class _Unreachable:
    """In place of a connection to a node that has none."""

    def __init__(self, node: str, why: str) -> None:
        self.node = node
        self.last_error = self._why = why
        self.opened = 0

    def __getattr__(self, name: str) -> t.NoReturn:
        raise SSHError(f"cannot be reached: {self._why}", node=self.node)


def _run_script(
    process: ScriptProcess,
    what: Verification,
    hands: Hands,
    connections: _Connections,
    deadline: Deadline,
    progress: Progress,
) -> list[Check]:
    consoles = {node.name: Console(partial(what.platform.console, node)) for node in what.deployment.nodes}
    if "console" in what.test_script:
        for console in consoles.values():
            console.skip()
    machines = [
        Machine(
            node.name,
            connections.for_script(node.name),
            deadline,
            role=node.role,
            console=consoles[node.name],
            hands=hands,
            boot_timeout=what.deployment.boot_timeout,
            results=what.results,
            say=progress.say,
            mask=progress.mask_file,
        )
        for node in what.deployment.nodes
    ]
    checks = process.run(what.test_script, machines, deadline, what.values, what.results)
    who = f"{checks[-1].node}: " if checks[-1].node else ""
    progress.say(f"{SCRIPT}: {'ok' if checks[-1].ok else who + checks[-1].message}")
    return checks


def _script_report(check: Check) -> ScriptReport:
    return ScriptReport(check.ok, message=check.message, line=check.details.line, node=check.node)


def _evidence(what: Verification, failed: t.Sequence[str], connections: _Connections) -> dict[str, dict[str, str]]:
    """Journal and console of the first failed nodes; what cannot be had is left out."""

    def collect(name: str) -> dict[str, str]:
        found = {}
        try:
            connection = connections.to(name)
            if not connection.last_error:
                output = connection.run(f"journalctl -b -n {EVIDENCE_LINES} --no-pager", JOURNAL)
                found["journal"] = clean(output.stdout.decode("utf-8", "replace"))
        except Exception as error:  # the report is worth more than one of its proofs
            found["journal"] = str(error)
        try:
            found["console"] = clean(what.platform.console(what.deployment.node(name), EVIDENCE_LINES))
        except Exception as error:
            found["console"] = str(error)
        return found

    names = list(failed[:EVIDENCE_NODES])
    if not names:
        return {}
    with ThreadPoolExecutor(max_workers=len(names)) as pool:
        return dict(zip(names, pool.map(collect, names)))
