# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was checked and how it went: ``results.json`` and ``junit.xml``. PRIVATE to the collection.

The XML follows the schema of Jenkins' xUnit plugin (junit-10.xsd), which GitLab and others read as well.
"""

from __future__ import annotations

import os
import re
import typing as t
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field, replace
from functools import cached_property

from ..files import write_text
from ..model import codec
from ..model.report import Check, MachineProfile, Measurement, ReportDocument, ScriptReport
from ..model.result import Evidence
from ..nodes.words import last_lines

#: Name of the check that a node answers.
REACHABLE = "reachable"
#: What the name of a check begins with that is about a directory which follows a git repository; its path comes next.
FOLLOW = "follow "
#: Name of the check of a node that was changed though it is sealed; ``seen`` has a line for each reason.
SEALED = "sealed"
#: How many lines of journal and console the result of a node has. Controllers keep them: the files have more.
TOLD = 20

#: Characters that XML 1.0 cannot express, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class NodeReport:
    """How one node of the batch fared."""

    #: Whether it passed the built-in checks, and the test script does not blame it.
    ok: bool
    #: Whether it answered at all: a node that is silent is not for that reason wrong.
    reached: bool
    passed: int
    #: The failed checks, one per line.
    message: str
    #: Directories that follow a git repository → commit that they are at.
    follow: t.Mapping[str, str] = field(default_factory=dict)
    #: Why it was changed though it is sealed, by whom and when.
    unsealed: t.Sequence[str] = ()
    #: Of the failed checks.
    evidence: Evidence = field(default_factory=Evidence)


@dataclass(frozen=True)
class Report:
    """All results of one verification."""

    deployment: str
    #: The nodes that were to be verified.
    batch: t.Sequence[str]
    checks: t.Sequence[Check]
    #: Node → ``journal`` and ``console``, the last lines of each, for nodes with failed checks.
    evidence: t.Mapping[str, t.Mapping[str, str]] = field(default_factory=dict)
    #: ``None`` where there is none to run.
    script: ScriptReport | None = None
    #: What the test script has recorded.
    records: t.Sequence[Measurement] = ()
    #: What nodes are made of, where that was asked.
    facts: t.Mapping[str, MachineProfile] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether no check failed. (A script that was not started is not one.)"""
        return all(check.ok for check in self.checks)

    @cached_property
    def nodes(self) -> dict[str, NodeReport]:
        """The result of each node of the batch."""
        own: dict[str | None, list[Check]] = {}
        for check in self.checks:
            own.setdefault(check.node, []).append(check)
        return {name: _node_report(own.get(name, []), self.evidence.get(name, {})) for name in self.batch}

    @property
    def failed_nodes(self) -> list[str]:
        """The nodes of the batch that failed a check, or that the test script blames. No others."""
        return [name for name, node in self.nodes.items() if not node.ok]

    @property
    def problem(self) -> str:
        """What failed and is no node's of the batch, but the deployment's: a test script that blames none of them."""
        batch = set(self.batch)
        return "\n".join(str(check) for check in self.checks if not check.ok and check.node not in batch)

    @property
    def message(self) -> str:
        """The failed checks, one per line."""
        return "\n".join(str(check) for check in self.checks if not check.ok)

    def document(self) -> ReportDocument:
        """The content of ``results.json``."""
        return ReportDocument(
            deployment=self.deployment,
            ok=self.ok,
            batch=self.batch,
            failed_nodes=self.failed_nodes,
            problem=self.problem,
            script=self.script,
            checks=self.checks,
            evidence=self.evidence,
            records=self.records,
        )

    def junit(self) -> str:
        """The report as JUnit XML: a test suite per node, and one for results that belong to no node."""
        root = ET.Element("testsuites", name=self.deployment)
        suites: dict[str | None, list[Check]] = {}
        for check in self.checks:
            suites.setdefault(check.node, []).append(check)
        for node, checks in suites.items():
            name = self.deployment if node is None else f"{self.deployment}.{node}"
            suite = ET.SubElement(
                root,
                "testsuite",
                name=_xml(name),
                tests=str(len(checks)),
                failures=str(sum(not check.ok for check in checks)),
                errors="0",
                time=f"{sum(check.seconds for check in checks):.3f}",
            )
            for check in checks:
                case = ET.SubElement(
                    suite, "testcase", classname=_xml(name), name=_xml(check.name), time=f"{check.seconds:.3f}"
                )
                if check.seen:
                    ET.SubElement(case, "system-out").text = _xml(check.seen)
                if not check.ok:
                    failure = ET.SubElement(case, "failure", message=_xml(check.message))
                    failure.text = _xml(str(check.details))
            evidence = self.evidence.get(node or "", {})
            if evidence:
                text = "\n".join(f"{title}:\n{lines}" for title, lines in evidence.items())
                ET.SubElement(suite, "system-out").text = _xml(text)
        ET.indent(root)
        return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"

    def masked(self, mask: t.Callable[[str], str]) -> Report:
        """The same for other eyes: what nodes said may have their secrets in it."""
        checks = [
            replace(
                check,
                name=_masked_name(check.name, mask),
                message=mask(check.message),
                seen=mask(check.seen),
                details=check.details.masked(mask),
            )
            for check in self.checks
        ]
        evidence = {node: {title: mask(text) for title, text in texts.items()} for node, texts in self.evidence.items()}
        script = replace(self.script, message=mask(self.script.message)) if self.script else None
        records = [
            replace(record, value=mask(record.value)) if isinstance(record.value, str) else record
            for record in self.records
        ]
        return replace(self, checks=checks, evidence=evidence, script=script, records=records)

    def write(self, directory: str) -> None:
        """Write ``results.json`` and ``junit.xml``, each in one step."""
        codec.write(os.path.join(directory, "results.json"), self.document())
        write_text(os.path.join(directory, "junit.xml"), self.junit())


def _masked_name(name: str, mask: t.Callable[[str], str]) -> str:
    """Programs know checks by their names; what comes after a colon is a test script's own words."""
    known, colon, words = name.partition(": ")
    return f"{known}{colon}{mask(words)}"


def _node_report(checks: t.Sequence[Check], evidence: t.Mapping[str, str]) -> NodeReport:
    failed = [check for check in checks if not check.ok]
    return NodeReport(
        ok=not failed,
        reached=not any(check.name == REACHABLE for check in failed),
        passed=len(checks) - len(failed),
        message="\n".join(check.words for check in failed),
        follow={check.name.removeprefix(FOLLOW): check.revision for check in checks if check.revision},
        unsealed=[line for check in checks if check.name == SEALED for line in check.seen.splitlines()],
        evidence=Evidence(
            tuple(check.name for check in failed),
            **{title: last_lines(text, TOLD) for title, text in evidence.items()},
        ),
    )


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
