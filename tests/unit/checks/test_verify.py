"""Built-in checks and whole verifications against a real SSH server; ``systemctl`` is a stand-in with real texts."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.checks import verify as verify_module
from ansible_collections.immutable.compose.plugins.module_utils.checks.judge import judge
from ansible_collections.immutable.compose.plugins.module_utils.checks.verify import ill_nodes
from ansible_collections.immutable.compose.plugins.module_utils.deploy.masking import Mask
from ansible_collections.immutable.compose.plugins.module_utils.errors import CommandError
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Node
from ansible_collections.immutable.compose.plugins.module_utils.nodes import probe
from ansible_collections.immutable.compose.plugins.module_utils.nodes.endpoint import Endpoint
from ansible_collections.immutable.compose.plugins.module_utils.nodes.output import Output
from ansible_collections.immutable.compose.plugins.module_utils.nodes.probe import Expected
from ansible_collections.immutable.compose.plugins.module_utils.nodes.refresh import push_document
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from ..model.samples import document
from .conftest import IDENTITY, NODE, Lab, Server, _free_port, failures


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
        f"{NODE}: port {port}: 127.0.0.1:{port} accepts no connection: nothing listens on it",
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
    assert (
        report.checks[2].message
        == "failed, which may_fail allows: excused-7.service (timeout), nightly.service (timeout)"
    )
    lab.system("degraded", failed=f"{excused}c.service loaded failed failed C\n")
    assert failures(lab.run(may_fail={NODE: ["nightly"]})) == [f"{NODE}: units: failed units: c.service (timeout)"]
    lab.system("degraded")
    assert failures(lab.run()) == [f"{NODE}: units: the system is 'degraded', expected 'running'"]


def test_words_of_a_node_do_not_reach_the_terminal_as_they_are(lab: Lab) -> None:
    lab.system("degraded", failed="a.service loaded failed failed A\n")
    lab.server.program("journalctl", r"printf '\033]0;gotcha\007\033[2J\033[31mred\bX\n'")
    assert failures(lab.run()) == [f"{NODE}: units: failed units: a.service (exit-code, status 3: redX)"]


SECRET = "correct-horse-battery-staple"


@pytest.fixture
def talking(lab: Lab) -> Lab:
    """One whose unit fails, and prints its secret."""
    mask = Mask([SECRET, "units", "postgres"])
    lab.progress = Progress(str(lab.directory / "progress"), mask.text)
    lab.system("degraded", failed="a.service loaded failed failed A\n")
    return lab


def written(lab: Lab) -> str:
    files = [path for path in (lab.directory / "results").rglob("*") if path.is_file()]
    assert len(files) == 2
    return "".join(path.read_text() for path in files) + (lab.directory / "progress").read_text()


@pytest.mark.parametrize("before", [10, probe.WIDTH - 10, probe.WIDTH - len(SECRET), probe.WIDTH + 5])
def test_a_secret_that_a_unit_prints_is_in_no_file(talking: Lab, before: int) -> None:
    """Nor is a part of one, where a line is cut."""
    talking.server.program("journalctl", f"echo {'x ' * (before // 2)}{SECRET} and more")
    message = talking.run().message
    for part in (SECRET, SECRET[:8]):
        assert part not in message and part not in written(talking)
    assert message.startswith(f"{NODE}: units: failed ********: a.service"), "names of checks are data"


def test_a_secret_in_what_a_test_script_copies_is_in_no_file(lab: Lab) -> None:
    mask = Mask([SECRET])
    lab.progress = Progress(str(lab.directory / "progress"), mask.text, mask.stream)
    source = lab.directory / "on the node"
    source.mkdir()
    (source / "log").write_text(f"token={SECRET};\n" * 9)
    (source / "core").write_bytes(b"\x7fELF\0" + SECRET.encode())
    assert lab.run(script=f"machine.copy_from_machine({str(source)!r}, 'kept')").ok
    kept = lab.directory / "results/kept/on the node"
    assert (kept / "log").read_text() == "token=********;\n" * 9
    assert (kept / "core").read_bytes() == (source / "core").read_bytes()


def test_a_secret_in_what_a_test_script_says_is_in_no_file(lab: Lab) -> None:
    lab.progress = Progress(str(lab.directory / "progress"), Mask([SECRET, "testScript"]).text)
    script = (
        f"with subtest('log in with {SECRET}'):\n    print('{SECRET}')\n    machine.succeed('echo {SECRET}; false')"
    )
    report = lab.run(script=script)
    assert not report.ok and SECRET not in written(lab)
    assert [check.name for check in report.checks][-2:] == ["testScript: log in with ********", "testScript"]


def test_a_secret_of_a_node_that_was_ill_before_is_not_kept(talking: Lab) -> None:
    talking.server.program("journalctl", f"echo {SECRET}")
    (found,) = ill_nodes(talking.what(), talking.progress).values()
    assert "********" in found.message and SECRET not in found.message


def test_a_node_that_answers_without_an_end(lab: Lab) -> None:
    lab.server.program("systemctl", "yes systemctl")
    start = time.monotonic()
    report = lab.run(boot_timeout=5)
    assert not report.ok and time.monotonic() - start < 60
    lab.server.program("systemctl", "echo degraded")
    lab.server.program("journalctl", "yes")
    assert len(lab.run().message) < 1000


def test_closed_port(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PORT_GRACE", 1)
    port = _free_port()
    report = lab.run(ports=[lab.server.port, port])
    (message,) = failures(report)
    assert message == f"{NODE}: port {port}: 127.0.0.1:{port} accepts no connection: nothing listens on it"


def test_unreachable_node_says_the_last_error(lab: Lab) -> None:
    report = lab.run(endpoint=Endpoint("127.0.0.1", _free_port()), boot_timeout=1)
    refused = f"{NODE}: reachable: no answer within 1 s; last error: [Errno 111] Connection refused"
    assert failures(report) == [f"{refused}; its console said last:", f"console of {NODE}"]
    assert "journal" not in report.evidence[NODE]


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


def test_judge_of_a_node_that_was_changed_by_hand() -> None:
    entry = {"time": "2026-01-31T12:00:00Z", "by": "me@desk", "reason": "disk full", "action": "ansible.builtin.raw"}
    lines = [json.dumps(entry), json.dumps({**entry, "action": "ansible.builtin.copy"}), json.dumps(entry), "garbage"]
    facts = {"identity": ["x"], "state": ["running"], "unsealed": lines}
    told = {check.name: check for check in judge("n", Expected("x"), facts, 1.0)}["sealed"]
    assert told.ok
    assert "'disk full' by me@desk at 2026-01-31T12:00:00Z (ansible.builtin.raw, ansible.builtin.copy)" in told.message
    assert "garbage" in told.message


def test_evidence_is_limited(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_module, "EVIDENCE_NODES", 1)
    names = ["node1", "node2", "node3"]
    report = lab.run(batch=names, nodes=names)
    assert report.failed_nodes == names
    assert list(report.evidence) == ["node1"]


def test_push_document_tells_what_the_node_said(server: Server) -> None:
    """No node here, so /run/compose is missing; that it works is tested on real nodes."""
    with pytest.raises(CommandError, match="(?s)apply-node refresh.*/run/compose") as caught:
        push_document(
            Node(NODE, "server"), server.endpoint, server.keys, document(Node(NODE, "server"), secrets={"k": "hush"})
        )
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
