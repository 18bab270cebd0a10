"""Who has failed: nodes that are silent, lost, refused or ill already, and the test script."""

from __future__ import annotations

import socket
import threading
import time
import typing as t
from dataclasses import replace

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.checks import waiting
from ansible_collections.immutable.compose.plugins.module_utils.checks.verify import ill_nodes
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.nodes.endpoint import Endpoint
from ansible_collections.immutable.compose.plugins.module_utils.platforms.base import Lost
from ansible_collections.immutable.compose.plugins.module_utils.progress import BECAME

from .conftest import NODE, Lab, _free_port, failures


def test_ended_node_is_known_at_once_and_others_are_still_checked(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one is never reached, the other had been when it ended, the third is well."""
    monkeypatch.setattr(waiting, "INTERVAL", 0.1)
    names = [NODE, "node1"]
    lab.elsewhere["node1"] = Endpoint("127.0.0.1", _free_port())
    lab.lost["node1"] = Lost("it does not run any more", certain=True)
    start = time.monotonic()
    report = lab.run(batch=names, nodes=names, boot_timeout=250)
    assert time.monotonic() - start < 60
    assert report.message == ("node1: reachable: it does not run any more; its console said last:\nconsole of node1")
    assert report.failed_nodes == ["node1"]
    lab.server.program("systemctl", 'case "$*" in *--wait*) sleep 600 ;; *system*) echo starting ;; esac')
    lab.lost = {NODE: Lost("it does not run any more", certain=True)}
    assert f"{NODE}: reachable: it does not run any more" in lab.run(boot_timeout=250).message
    assert time.monotonic() - start < 120


def test_a_stuck_node_has_a_moment_to_answer_nevertheless(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "INTERVAL", 0.1)
    monkeypatch.setattr(waiting, "GRACE", 60)
    lab.lost[NODE] = Lost("it is in emergency mode", certain=False)
    lab.system("maintenance")
    assert failures(lab.run()) == [f"{NODE}: units: the system is 'maintenance', expected 'running'"]
    monkeypatch.setattr(waiting, "GRACE", 0.5)
    start = time.monotonic()
    report = lab.run(endpoint=Endpoint("127.0.0.1", _free_port()), boot_timeout=250)
    assert 0.5 < time.monotonic() - start < 60
    assert "it is in emergency mode" in report.message


@pytest.mark.parametrize("error", [ComposeError("has no address yet"), RuntimeError("has no address yet")])
def test_a_node_without_an_address_fails_alone(lab: Lab, error: Exception) -> None:
    lab.elsewhere["node1"] = error
    names = [NODE, "node1"]
    report = lab.run(batch=names, nodes=names, script="raise SystemExit('must not run')")
    assert report.failed_nodes == ["node1"] and "has no address yet" in report.message
    assert report.nodes[NODE].ok and not report.nodes["node1"].reached
    assert report.script is not None
    assert (report.script.ran, report.script.message) == (False, "not started, because of node1")
    lines = (lab.directory / "progress").read_text().splitlines()
    assert len([line for line in lines if not line.startswith(BECAME)]) == 2


def test_what_became_of_nodes_is_told_by_one_thread(lab: Lab) -> None:
    """A thousand that do it themselves take longer to wait for each other than for their nodes."""
    tellers = {}

    def record(kind: str, node: str = "", *_rest: str, **_more: str) -> None:
        if kind == "node":
            tellers[node] = threading.current_thread()

    lab.progress.record = record
    names = [f"node{number}" for number in range(3)]
    lab.elsewhere.update(dict.fromkeys(names, ComposeError("has no address yet")))
    lab.run(batch=names, nodes=names)
    assert tellers == dict.fromkeys(names, threading.current_thread())


def test_a_silent_node_fails_alone(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        lab.elsewhere["node1"] = Endpoint("127.0.0.1", silent.getsockname()[1])
        names = [NODE, "node1"]
        report = lab.run(batch=names, nodes=names, boot_timeout=6)
    assert report.failed_nodes == ["node1"]
    assert "no answer within 6 s" in report.message


def test_script_that_names_a_lost_node_blames_it_and_no_other(lab: Lab) -> None:
    """The lost node is outside of the batch, or known to be ill."""
    lab.elsewhere["node1"] = ComposeError("has no address yet")
    nodes = [NODE, "node1"]
    assert lab.run(nodes=nodes, script="oar_server.succeed('true')").ok
    for batch, ill in (([NODE], []), (nodes, ["node1"])):
        report = lab.run(batch=batch, nodes=nodes, ill=ill, script="oar_server.succeed('true')\nnode1.succeed('true')")
        assert report.script is not None and report.nodes[NODE].ok
        assert (report.script.node, report.script.line, report.script.ran) == ("node1", 2, True)
        assert "cannot be reached: has no address yet" in report.script.message
        assert bool(report.problem) is not bool(ill)


def test_script_that_blames_nobody_is_the_deployments_failure(lab: Lab) -> None:
    report = lab.run(script="oar_server.succeed('true')\nassert 1 == 2")
    assert report.failed_nodes == [] and report.nodes[NODE].ok and not report.ok
    assert report.problem.startswith("testScript: line 2: assert 1 == 2")
    assert report.script is not None and (report.script.node, report.script.line) == (None, 2)


def test_a_copy_that_fails_blames_its_node(lab: Lab) -> None:
    report = lab.run(script="oar_server.copy_from_machine('/no/such/file')")
    assert report.failed_nodes == [NODE]


def test_a_platform_that_cannot_tell_who_runs_is_no_failure(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "INTERVAL", 0.05)
    lab.lost = t.cast(t.Any, None)  # makes the stand-in for a platform fail
    lab.system("starting", "running")
    assert lab.run().ok
    told = (lab.directory / "progress").read_text()
    assert told.count("whether nodes still run cannot be told") <= 1


def test_no_time_left_for_the_script(lab: Lab) -> None:
    """The nodes took all of it: a failure of the script, not of the step."""
    lab.lost = {}
    lab.elsewhere["node1"] = Endpoint("127.0.0.1", _free_port())
    names = [NODE, "node1"]
    report = lab.run(
        batch=names, nodes=names, ill=["node1"], boot_timeout=2, verify_timeout=2, script="oar_server.succeed('true')"
    )
    assert "the verification took longer than 2 s" in report.message


def test_nodes_that_are_ill_already(lab: Lab) -> None:
    """Nothing is waited for: not for a boot, not for a port, not for those that are silent."""
    lab.elsewhere["node1"] = ComposeError("has no address yet")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        lab.elsewhere["node2"] = Endpoint("127.0.0.1", silent.getsockname()[1])
        names = [NODE, "node1", "node2"]
        what = replace(lab.what(names, names), ports={NODE: [_free_port()]})
        start = time.monotonic()
        ill = ill_nodes(what, lab.progress, 6)
        assert time.monotonic() - start < 25
    assert {name: node.reached for name, node in ill.items()} == {NODE: True, "node1": False, "node2": False}
    assert "accepts no connection" in ill[NODE].message
    lab.system("starting", "running")
    assert "is still starting" in ill_nodes(lab.what(), lab.progress)[NODE].message
    lab.system("running")
    assert ill_nodes(lab.what(), lab.progress) == {}


def test_impostor_is_refused_and_others_are_still_checked(lab: Lab) -> None:
    report = lab.run(batch=[NODE, "node1"], nodes=[NODE, "node1"])
    assert report.failed_nodes == ["node1"]
    assert failures(report) == ["node1: reachable: the SSH host key is not the one made for this node"]


def test_failing_script_names_its_node(lab: Lab) -> None:
    report = lab.run(script="start_all()\noar_server.succeed('echo no >&2; exit 2')")
    assert report.failed_nodes == [NODE]
    assert report.message.startswith(f"{NODE}: testScript: line 2: oar_server.succeed('echo no >&2; exit 2')")
    assert report.message.endswith("(exit code 2)\nno")
    assert set(report.evidence) == {NODE}


def test_script_sees_nodes_outside_of_the_batch(lab: Lab) -> None:
    report = lab.run(nodes=[NODE, "node1"], script="assert [m.name for m in machines] == ['node1', 'oar-server']")
    assert report.ok, report.message
