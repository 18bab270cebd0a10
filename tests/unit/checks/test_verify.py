"""Built-in checks and whole verifications against a real SSH server; ``systemctl`` is a stand-in with real texts."""

from __future__ import annotations

import json
import socket
import time
import types
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.checks import verify as verify_module
from ansible_collections.immutable.compose.plugins.module_utils.checks import waiting
from ansible_collections.immutable.compose.plugins.module_utils.checks.builtin import judge
from ansible_collections.immutable.compose.plugins.module_utils.checks.report import Report
from ansible_collections.immutable.compose.plugins.module_utils.checks.verify import Verification, ill_nodes, verify
from ansible_collections.immutable.compose.plugins.module_utils.errors import CommandError, ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.nodes import probe
from ansible_collections.immutable.compose.plugins.module_utils.nodes.connection import Output
from ansible_collections.immutable.compose.plugins.module_utils.nodes.endpoint import Endpoint
from ansible_collections.immutable.compose.plugins.module_utils.nodes.probe import Expected
from ansible_collections.immutable.compose.plugins.module_utils.nodes.refresh import push_document
from ansible_collections.immutable.compose.plugins.module_utils.platforms.base import Lost
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import NODE, Server, _free_port

IDENTITY = "abc-demo-server-root"


class Lab:
    """A deployment whose node ``oar-server`` is the SSH server; ``node1`` is played by the same server, an impostor."""

    def __init__(self, server: Server, directory: Path, patch: pytest.MonkeyPatch) -> None:
        self.server = server
        self.directory = directory
        self.identity = directory / "identity"
        self.identity.write_text(IDENTITY + "\n")
        patch.setattr(probe, "IDENTITY_FILE", str(self.identity))
        self.shell: t.Any = None
        #: Node → where it is in place of the server, or why nobody knows; and what the platform says of it.
        self.elsewhere: dict[str, Endpoint | Exception] = {}
        self.lost: dict[str, Lost] = {}
        self.progress = Progress(str(directory / "progress"))
        self.system("running")
        server.program("journalctl", f"echo journal of the node; echo {'$'}@")

    def system(self, *states: str, failed: str = "") -> None:
        """``systemctl is-system-running`` says these, one after the other; ``--wait`` takes until the last."""
        self.server.program(
            "systemctl",
            f"""
            case "$*" in
              *--wait*) sleep 0.3; echo {states[-1]}; [ {states[-1]} = running ] ;;
              is-system-running) n=$(cat {self.directory}/asked 2>/dev/null || echo 1)
                 echo $((n + 1)) >{self.directory}/asked
                 echo {" ".join(states)} | cut -d' ' -f$((n > {len(states)} ? {len(states)} : n)) ;;
              *state=failed*) printf '%s' '{failed}' ;;
              list-jobs*) echo '12 slow.service start running' ;;
              show*a.service*) echo Result=exit-code; echo ExecMainStatus=3 ;;
              show*) echo Result=timeout; echo ExecMainStatus=0 ;;
            esac""",
        )
        (self.directory / "asked").unlink(missing_ok=True)

    def run(
        self,
        *,
        batch: t.Sequence[str] = (NODE,),
        nodes: t.Sequence[str] = (NODE,),
        script: str = "",
        ports: t.Sequence[int] = (),
        endpoint: Endpoint | None = None,
        boot_timeout: int = 120,
        verify_timeout: int = 300,
        **more: t.Any,
    ) -> Report:
        what = self.what(batch, nodes, boot_timeout, verify_timeout, endpoint)
        return verify(replace(what, ports=dict.fromkeys(batch, ports), test_script=script, **more), self.progress)

    def what(
        self,
        batch: t.Sequence[str] = (NODE,),
        nodes: t.Sequence[str] = (NODE,),
        boot_timeout: int = 120,
        verify_timeout: int = 300,
        endpoint: Endpoint | None = None,
    ) -> Verification:
        deployment = Deployment(
            name="demo",
            composition="",
            builder="debian",
            platform="none",
            nodes=tuple(Node(name, "server", address="127.0.0.2") for name in nodes),
            may_fail=("excused-*",),
            boot_timeout=boot_timeout,
            verify_timeout=verify_timeout,
        )

        def reach(node: Node) -> Endpoint:
            if node.name in self.elsewhere:
                found = self.elsewhere[node.name]
                if isinstance(found, Exception):
                    raise found
                return found
            return endpoint or self.server.endpoint

        platform = types.SimpleNamespace(
            deployment=deployment,
            endpoint=reach,
            shell=lambda node: self.shell,
            console=lambda node, lines=50: f"console of {node.name}",
            lost=lambda nodes: {node.name: self.lost[node.name] for node in nodes if node.name in self.lost},
        )
        identities = dict.fromkeys(batch, IDENTITY)
        results = str(self.directory / "results")
        return Verification(
            deployment, t.cast(t.Any, platform), self.server.keys, identities=identities, results=results
        )


@pytest.fixture
def lab(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(server, tmp_path, monkeypatch)


def failures(report: Report) -> list[str]:
    return report.message.splitlines()


def test_all_is_well(lab: Lab) -> None:
    report = lab.run(ports=[lab.server.port], script="machine.succeed('true')")
    assert failures(report) == []
    names = [check.name for check in report.checks]
    assert names == ["reachable", "identity", "units", f"port {lab.server.port}", "testScript"]
    assert json.loads((lab.directory / "results" / "results.json").read_text())["ok"] is True
    assert report.evidence == {}
    assert f"verify {NODE}: ok (1 of 1)" in (lab.directory / "progress").read_text()


def test_other_image(lab: Lab) -> None:
    lab.identity.write_text("other-image\n")
    report = lab.run(script="raise SystemExit('must not run')")
    assert failures(report) == [f"{NODE}: identity: runs other-image, expected {IDENTITY}"]
    assert report.evidence[NODE]["console"] == f"console of {NODE}"
    assert report.evidence[NODE]["journal"].startswith("journal of the node\n-b -n 50")


def test_no_identity(lab: Lab) -> None:
    lab.identity.unlink()
    assert "No such file" in lab.run().message


def system_of_a_store(lab: Lab, monkeypatch: pytest.MonkeyPatch, identity: str = IDENTITY) -> Path:
    """A node like those of NixOS and Guix: a link leads to its system in the store."""
    system = lab.directory / "store" / identity
    (system / "profile" / "bin").mkdir(parents=True)
    link = lab.directory / "current-system"
    link.symlink_to(system)
    monkeypatch.setattr(probe, "SYSTEM_LINK", str(link))
    lab.identity.unlink()
    return system


def test_a_system_in_a_store_is_its_own_identity(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    system_of_a_store(lab, monkeypatch)
    assert lab.run().ok


def test_another_system_in_a_store(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    system_of_a_store(lab, monkeypatch, "another-system")
    assert failures(lab.run()) == [f"{NODE}: identity: runs another-system, expected {IDENTITY}"]


def test_services_of_the_shepherd_that_failed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``herd status`` of Shepherd 1.0 lists them."""
    herd = system_of_a_store(lab, monkeypatch) / "profile" / "bin" / "herd"
    herd.write_text("#!/bin/sh\nprintf 'Started:\\n + root\\nFailed to start:\\n ! nfs\\n ! rpc.mountd\\n'\n")
    herd.chmod(0o755)
    lab.server.program("systemctl", "echo there is none; exit 1")
    lab.server.program("journalctl", "exit 127")
    assert failures(lab.run()) == [f"{NODE}: units: failed units: nfs, rpc.mountd"]
    herd.write_text("#!/bin/sh\nprintf 'Started:\\n + root\\n + nfs\\n'\n")
    assert lab.run().ok


def test_waits_for_a_node_that_still_boots(lab: Lab) -> None:
    lab.system("starting", "running")
    assert lab.run().ok


def test_waits_for_a_node_that_still_goes_down(lab: Lab) -> None:
    lab.identity.write_text("image-before\n")
    lab.system("stopping", "stopping", "running")
    report = lab.run()
    assert failures(report) == [f"{NODE}: identity: runs image-before, expected {IDENTITY}"]
    assert int((lab.directory / "asked").read_text()) == 4


def test_failed_units(lab: Lab) -> None:
    lab.system("degraded", failed="a.service loaded failed failed A\nb.mount loaded failed failed B\n")
    port = _free_port()
    lab.server.program("journalctl", 'echo "${@: -1}"; echo no such directory')
    start = time.monotonic()
    assert failures(lab.run(ports=[port])) == [
        f"{NODE}: units: failed units: a.service (exit-code, status 3: _SYSTEMD_UNIT=a.service | no such directory), "
        "b.mount (timeout: _SYSTEMD_UNIT=b.mount | no such directory)",
        f"{NODE}: port {port}: accepts no connection",
    ]
    assert time.monotonic() - start < 100, "nothing is waited for once a unit failed"


def test_node_that_does_not_come_up(lab: Lab) -> None:
    lab.server.program(
        "systemctl",
        'case "$*" in *--wait*) sleep 600 ;; list-jobs*) echo "12  a.service" ;; *system*) echo starting ;; esac',
    )
    start = time.monotonic()
    report = lab.run(boot_timeout=5)
    assert time.monotonic() - start < 120
    assert failures(report) == [f"{NODE}: units: the system did not come up in time; jobs: 12 a.service"]


def test_units_that_may_fail_are_told_and_fail_nothing(lab: Lab) -> None:
    lab.server.program("journalctl", "")
    excused = "excused-7.service loaded failed failed A\nnightly.service loaded failed failed B\n"
    lab.system("degraded", failed=excused)
    report = lab.run(may_fail={NODE: ["nightly"]})
    assert report.ok
    assert report.checks[2].message == "failed, as they may: excused-7.service (timeout), nightly.service (timeout)"
    lab.system("degraded", failed=f"{excused}c.service loaded failed failed C\n")
    assert failures(lab.run(may_fail={NODE: ["nightly"]})) == [f"{NODE}: units: failed units: c.service (timeout)"]
    lab.system("degraded")
    assert failures(lab.run()) == [f"{NODE}: units: the system is 'degraded', expected 'running'"]


def test_words_of_a_node_do_not_reach_the_terminal_as_they_are(lab: Lab) -> None:
    lab.system("degraded", failed="a.service loaded failed failed A\n")
    lab.server.program("journalctl", r"printf '\033]0;gotcha\007\033[2J\033[31mred\bX\n'")
    assert failures(lab.run()) == [f"{NODE}: units: failed units: a.service (exit-code, status 3: redX)"]


def test_a_node_that_answers_without_an_end(lab: Lab) -> None:
    lab.server.program("systemctl", "yes systemctl")
    start = time.monotonic()
    report = lab.run(boot_timeout=5)
    assert not report.ok and time.monotonic() - start < 60
    lab.server.program("systemctl", "echo degraded")
    lab.server.program("journalctl", "yes")
    assert len(lab.run().message) < 1000


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
    assert len((lab.directory / "progress").read_text().splitlines()) == 2


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


def test_closed_port(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PORT_GRACE", 1)
    port = _free_port()
    report = lab.run(ports=[lab.server.port, port])
    assert failures(report) == [f"{NODE}: port {port}: accepts no connection"]


def test_unreachable_node_says_the_last_error(lab: Lab) -> None:
    report = lab.run(endpoint=Endpoint("127.0.0.1", _free_port()), boot_timeout=1)
    refused = f"{NODE}: reachable: no answer within 1 s; last error: [Errno 111] Connection refused"
    assert failures(report) == [f"{refused}; its console said last:", f"console of {NODE}"]
    assert "journal" not in report.evidence[NODE]


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


def test_empty_batch_runs_the_script_only(lab: Lab) -> None:
    assert [check.name for check in lab.run(batch=[], script="pass").checks] == ["testScript"]


def test_progress_names_who_is_missing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.immutable.compose.plugins.module_utils import progress

    monkeypatch.setattr(progress, "HEARTBEAT", 0.2)
    lab.run(endpoint=Endpoint("127.0.0.1", _free_port()), boot_timeout=1)
    assert f"verify: waiting for 1 of 1 nodes: {NODE} ([Errno 111]" in (lab.directory / "progress").read_text()


def test_judge_of_a_system_in_an_odd_state() -> None:
    facts = {"identity": ["x"], "state": ["maintenance"]}
    checks = judge("n", Expected("x"), facts, 1.0)
    assert [check.message for check in checks] == ["", "the system is 'maintenance', expected 'running'"]


def test_evidence_is_limited(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_module, "EVIDENCE_NODES", 1)
    names = ["node1", "node2", "node3"]
    report = lab.run(batch=names, nodes=names)
    assert report.failed_nodes == names
    assert list(report.evidence) == ["node1"]


def test_push_document_tells_what_the_node_said(server: Server) -> None:
    """No node here, so /run/compose is missing; that it works is tested on real nodes."""
    with pytest.raises(CommandError, match="(?s)apply-node refresh.*/run/compose") as caught:
        push_document(Node(NODE, "server"), server.endpoint, server.keys, {"secrets": {"k": "hush"}})
    assert caught.value.node == NODE
    assert "hush" not in str(caught.value)


def test_platform_with_shells_of_its_own(lab: Lab) -> None:
    """A thousand nodes that answer at once take no time worth mentioning, and no SSH connection."""

    class Shell:
        last_error = ""

        def open(self, timeout: float) -> None: ...

        def run(self, command: str, timeout: float) -> Output:
            return Output(0, f"identity {IDENTITY}\nstate running\n".encode(), b"")

        def close(self) -> None: ...

    names = [f"node{number}" for number in range(1000)]
    lab.shell = Shell()
    start = time.monotonic()
    report = lab.run(batch=names, nodes=names, endpoint=Endpoint("127.0.0.1", _free_port()))
    assert report.ok and len(report.checks) == 3000
    assert time.monotonic() - start < 100
