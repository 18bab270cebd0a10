"""Results: who failed, and the files for people and for CI systems."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.checks.report import Report
from ansible_collections.immutable.compose.plugins.module_utils.model.report import Check, CheckDetails
from ansible_collections.immutable.compose.plugins.module_utils.model.result import Evidence

BATCH = ["node1", "node2"]
GOOD = Check("identity", True, "node1", seconds=0.25)
BAD = Check("units", False, "node2", "failed units: a.service", 1.5, CheckDetails(line=3))


@pytest.mark.parametrize(
    ("checks", "failed"),
    [
        ([GOOD], []),
        ([GOOD, BAD], ["node2"]),
        ([GOOD, Check("testScript", False, None, "AssertionError")], []),
        ([GOOD, Check("testScript", False, "node2", "x")], ["node2"]),
        ([GOOD, Check("testScript", False, "outside-of-the-batch", "x")], []),
        ([GOOD, BAD, Check("testScript", False, "outside-of-the-batch", "x")], ["node2"]),
    ],
)
def test_only_nodes_to_blame_are_failed_nodes(checks: list[Check], failed: list[str]) -> None:
    report = Report("demo", BATCH, checks)
    assert report.failed_nodes == failed
    assert report.ok is all(check.ok for check in checks)
    assert bool(report.problem) is any(check.node not in BATCH for check in checks if not check.ok)


def test_result_of_each_node() -> None:
    silent = Check("reachable", False, "node2", "no answer")
    nodes = Report("demo", BATCH, [GOOD, silent]).nodes
    assert (nodes["node1"].ok, nodes["node1"].reached, nodes["node1"].passed) == (True, True, 1)
    assert (nodes["node2"].ok, nodes["node2"].reached, nodes["node2"].message) == (
        False,
        False,
        "reachable: no answer",
    )
    assert Report("demo", BATCH, [GOOD, BAD]).nodes["node2"].reached


def test_a_node_that_failed_has_the_evidence() -> None:
    journal = "\n".join(f"line {number}" for number in range(50))
    nodes = Report("demo", BATCH, [GOOD, BAD], {"node2": {"journal": journal, "console": ""}}).nodes
    assert nodes["node1"].evidence == Evidence()
    assert nodes["node2"].evidence.checks == (BAD.name,)
    assert nodes["node2"].evidence.journal.splitlines() == [f"line {number}" for number in range(30, 50)]


def test_a_script_that_blames_nobody_is_the_deployments_problem() -> None:
    report = Report("demo", BATCH, [Check("testScript", False, None, "line 1: assert 0")])
    assert (report.failed_nodes, report.problem) == ([], "testScript: line 1: assert 0")
    assert Report("demo", BATCH, [GOOD, BAD]).problem == ""


def test_json_file(tmp_path: Path) -> None:
    Report("demo", BATCH, [GOOD, BAD], {"node2": {"journal": "j"}}).write(str(tmp_path / "new"))
    data = json.loads((tmp_path / "new" / "results.json").read_text())
    assert data["schema"] == "immutable.compose/report/1"
    assert (data["ok"], data["failed_nodes"], data["batch"]) == (False, ["node2"], BATCH)
    assert data["checks"][1]["details"] == {"line": 3}
    assert data["evidence"] == {"node2": {"journal": "j"}}
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["junit.xml", "results.json"]


def test_junit_file(tmp_path: Path) -> None:
    """Elements, their order and attributes as in junit-10.xsd."""
    whole = Check("testScript", False, None, 'line 1: "<a>" & \x1b[1mb\x00', 2, CheckDetails(output="]]>\x07\ud800"))
    evidence = {"node2": {"journal": "kernel: \x02 <oops>", "console": "c"}}
    Report("demo", BATCH, [GOOD, BAD, whole], evidence).write(str(tmp_path))
    root = ET.parse(tmp_path / "junit.xml").getroot()
    assert root.tag == "testsuites"
    suites = {suite.attrib["name"]: suite for suite in root}
    assert list(suites) == ["demo.node1", "demo.node2", "demo"]
    for suite in root:
        assert suite.tag == "testsuite"
        cases = suite.findall("testcase")
        assert suite.attrib["tests"] == str(len(cases))
        assert suite.attrib["failures"] == str(len(suite.findall("testcase/failure")))
        assert float(suite.attrib["time"]) == sum(float(case.attrib["time"]) for case in cases)
        assert all({"name", "classname", "time"} == set(case.attrib) for case in cases)
        assert [child.tag for child in suite] in (["testcase"], ["testcase", "system-out"])
    failure = suites["demo.node2"].find("testcase/failure")
    assert failure is not None and failure.attrib["message"] == "failed units: a.service"
    assert "journal:\nkernel: \ufffd <oops>" in (suites["demo.node2"].findtext("system-out") or "")
    assert "]]>\ufffd\ufffd" in (suites["demo"].findtext("testcase/failure") or "")
