"""Built-in checks and whole verifications against a real SSH server; ``systemctl`` is a stand-in with real texts."""

from __future__ import annotations

import json
import time
import types
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.checks import builtin
from ansible_collections.immutable.compose.plugins.module_utils.checks import verify as verify_module
from ansible_collections.immutable.compose.plugins.module_utils.checks.builtin import Expected, judge
from ansible_collections.immutable.compose.plugins.module_utils.checks.refresh import push_document
from ansible_collections.immutable.compose.plugins.module_utils.checks.report import Report
from ansible_collections.immutable.compose.plugins.module_utils.checks.verify import Verification, verify
from ansible_collections.immutable.compose.plugins.module_utils.composition.model import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.errors import CommandError
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress
from ansible_collections.immutable.compose.plugins.module_utils.ssh.connection import Output
from ansible_collections.immutable.compose.plugins.module_utils.ssh.endpoint import Endpoint

from .conftest import NODE, Server, _free_port

IDENTITY = "abc-demo-server-root"


class Lab:
    """A deployment whose node ``oar-server`` is the SSH server; ``node1`` is played by the same server, an impostor."""

    def __init__(self, server: Server, directory: Path, patch: pytest.MonkeyPatch) -> None:
        self.server = server
        self.directory = directory
        self.identity = directory / "identity"
        self.identity.write_text(IDENTITY + "\n")
        patch.setattr(builtin, "IDENTITY_FILE", str(self.identity))
        self.shell: t.Any = None
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
    ) -> Report:
        platform = types.SimpleNamespace(
            endpoint=lambda node: endpoint or self.server.endpoint,
            shell=lambda node: self.shell,
            console=lambda node, lines=50: f"console of {node.name}",
        )
        what = Verification(
            Deployment(
                name="demo",
                composition="",
                builder="debian",
                platform="none",
                nodes=tuple(Node(name, "server", address="127.0.0.2") for name in nodes),
                boot_timeout=boot_timeout,
                verify_timeout=300,
            ),
            t.cast(t.Any, platform),
            self.server.keys,
            identities=dict.fromkeys(batch, IDENTITY),
            ports=dict.fromkeys(batch, ports),
            test_script=script,
            results=str(self.directory / "results"),
        )
        return verify(what, Progress(str(self.directory / "progress")))


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
    monkeypatch.setattr(builtin, "SYSTEM_LINK", str(link))
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
        f"{NODE}: units: failed units: a.service, b.mount"
        "; _SYSTEMD_UNIT=a.service; no such directory; _SYSTEMD_UNIT=b.mount; no such directory",
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


def test_closed_port(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin, "PORT_GRACE", 1)
    port = _free_port()
    report = lab.run(ports=[lab.server.port, port])
    assert failures(report) == [f"{NODE}: port {port}: accepts no connection"]


def test_unreachable_node_says_the_last_error(lab: Lab) -> None:
    report = lab.run(endpoint=Endpoint("127.0.0.1", _free_port()), boot_timeout=1)
    assert len(failures(report)) == 1
    assert "no answer within 1 s; last error: [Errno 111] Connection refused" in report.message
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
