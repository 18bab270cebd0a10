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
from dataclasses import asdict, dataclass, field, replace

from ..files import write_json, write_text

REPORT_SCHEMA = "immutable.compose/report/1"

#: Characters that XML 1.0 cannot express, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str
    ok: bool
    #: ``None`` where the result belongs to no node, or to an unknown one.
    node: str | None = None
    #: Empty if all is well.
    message: str = ""
    seconds: float = 0.0
    #: For a failed test script: ``line``, ``source``, ``command``, ``returncode``, ``output``, as far as known.
    details: t.Mapping[str, t.Any] = field(default_factory=dict)

    def __str__(self) -> str:
        where = f"{self.node}: " if self.node else ""
        return f"{where}{self.name}: {'ok' if self.ok else self.message}"


@dataclass(frozen=True)
class Report:
    """All results of one verification."""

    deployment: str
    #: The nodes that were to be verified.
    batch: t.Sequence[str]
    checks: t.Sequence[Check]
    #: Node → ``journal`` and ``console``, the last lines of each, for nodes with failed checks.
    evidence: t.Mapping[str, t.Mapping[str, str]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    @property
    def failed_nodes(self) -> list[str]:
        """The nodes of the batch that failed: all of them, where a failure belongs to none of them."""
        guilty = {check.node for check in self.checks if not check.ok}
        if not guilty <= set(self.batch):
            return list(self.batch)
        return [name for name in self.batch if name in guilty]

    @property
    def message(self) -> str:
        """The failed checks, one per line."""
        return "\n".join(str(check) for check in self.checks if not check.ok)

    def to_json(self) -> dict[str, t.Any]:
        return {"schema": REPORT_SCHEMA, "ok": self.ok, "failed_nodes": self.failed_nodes, **asdict(self)}

    def to_result(self) -> dict[str, t.Any]:
        """What the module returns."""
        failed = set(self.failed_nodes)
        return {
            "failed_nodes": self.failed_nodes,
            "nodes": {name: {"ok": name not in failed, "message": self._message_for(name)} for name in self.batch},
            "checks": {
                "passed": sum(check.ok for check in self.checks),
                "failed": sum(not check.ok for check in self.checks),
            },
            "message": self.message,
        }

    def _message_for(self, name: str) -> str:
        if name not in self.failed_nodes:
            return ""
        failed = [check for check in self.checks if not check.ok]
        own = [check for check in failed if check.node == name]
        return "\n".join(str(check) for check in own or failed)

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
                if not check.ok:
                    failure = ET.SubElement(case, "failure", message=_xml(check.message))
                    failure.text = _xml("\n".join(f"{key}: {value}" for key, value in check.details.items()))
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
                message=mask(check.message),
                details={key: mask(value) if isinstance(value, str) else value for key, value in check.details.items()},
            )
            for check in self.checks
        ]
        evidence = {node: {title: mask(text) for title, text in texts.items()} for node, texts in self.evidence.items()}
        return replace(self, checks=checks, evidence=evidence)

    def write(self, directory: str) -> None:
        """Write ``results.json`` and ``junit.xml``, each in one step."""
        write_json(os.path.join(directory, "results.json"), self.to_json())
        write_text(os.path.join(directory, "junit.xml"), self.junit())


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
