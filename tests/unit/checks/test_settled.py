"""That verified means: it works, for a while, and for others. Against a real SSH server, with texts of systemd 252."""

from __future__ import annotations

import json
import re
import socket
import time
import typing as t
from types import SimpleNamespace

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.checks import settled
from ansible_collections.immutable.compose.plugins.module_utils.checks.builtin import Looked
from ansible_collections.immutable.compose.plugins.module_utils.checks.judge import judge
from ansible_collections.immutable.compose.plugins.module_utils.checks.outside import Answer, Port, ask_from_outside
from ansible_collections.immutable.compose.plugins.module_utils.checks.settled import ask_others
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.nodes import probe
from ansible_collections.immutable.compose.plugins.module_utils.nodes.output import Output
from ansible_collections.immutable.compose.plugins.module_utils.nodes.probe import Expected

from .conftest import NODE, Lab, _free_port, block, failures

WELL = ("web.service", "active", "running")


def ago(seconds: float) -> float:
    return time.clock_gettime(time.CLOCK_MONOTONIC) - seconds


@pytest.fixture
def quiet(lab: Lab) -> Lab:
    lab.server.program("journalctl", "echo no such table")
    return lab


def calls(lab: Lab) -> list[str]:
    """What systemctl was called for."""
    return [line.split()[0] for line in (lab.directory / "calls").read_text().splitlines()]


def test_a_node_that_is_well_starts_one_program(lab: Lab) -> None:
    lab.units(block(*WELL, ago(50), 0), block("data.mount", "active", "running", ago(50)))
    report = lab.run(stable_for=15)
    assert report.ok and calls(lab) == ["show"]
    seen = {check.name: check.seen for check in report.checks}
    assert re.fullmatch(r"units that run or ended well: 2; .*: none that count; up for \d\d+ s", seen["units"])


@pytest.mark.parametrize(
    "unit",
    [
        block("other.service", "failed", "failed", 1, 0),
        block("other.service", "activating", "running", 1, 0, "12"),
    ],
)
def test_what_is_not_well_is_asked_further(lab: Lab, unit: str) -> None:
    lab.units(unit)
    lab.run()
    assert calls(lab)[:2] == ["show", "is-system-running"]


def test_a_system_that_goes_down_is_not_well(lab: Lab) -> None:
    lab.system("maintenance")
    lab.units(target="inactive")
    assert failures(lab.run()) == [f"{NODE}: units: the system is 'maintenance', expected 'running'"]


def test_a_unit_that_waits_for_its_next_start(quiet: Lab) -> None:
    quiet.units(block("loops.service", "activating", "auto-restart", ago(1), 3))
    assert failures(quiet.run()) == [
        f"{NODE}: units: units that end and are started again: "
        "loops.service (restarted 3 times, and is about to be again; timeout: no such table)"
    ]


def test_a_unit_that_runs_again(quiet: Lab) -> None:
    quiet.units(block("loops.service", "active", "running", ago(5), 9))
    message = quiet.run().message
    assert "loops.service (restarted 9 times, last " in message and " s ago; timeout: no such table)" in message


def test_what_was_restarted_long_ago_or_with_a_login_is_well(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "RECENT", 20)
    lab.units(
        block("web.service", "active", "running", ago(probe.RECENT + 30), 2),
        block("getty@tty1.service", "active", "running", ago(5), 4),
        block("serial-getty@ttyS0.service", "activating", "auto-restart", ago(5), 4),
        block("console-getty.service", "active", "running", ago(5), 4),
    )
    assert lab.run().ok


def test_units_that_may_fail_may_be_restarted(quiet: Lab) -> None:
    quiet.units(block("excused-1.service", "activating", "auto-restart", ago(1), 3))
    report = quiet.run()
    assert report.ok
    assert "failed, as they may: excused-1.service (restarted 3 times" in report.checks[2].message


def test_a_unit_that_dies_after_the_first_look(quiet: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(settled, "time", SimpleNamespace(sleep=waited.append))
    quiet.system("running", "degraded", failed="dies.service loaded failed failed D\n")
    quiet.units(block("dies.service", "active", "running", ago(1), 0), up=1, file="units-1")
    quiet.units(block("dies.service", "failed", "failed", ago(1), 0), up=3)
    (quiet.directory / "asked").write_text("2")
    assert failures(quiet.run(stable_for=600, script="raise SystemExit('must not run')")) == [
        f"{NODE}: units: failed units: dies.service (timeout: no such table)"
    ]
    assert len(waited) == 1 and 0 < waited[0] < 600
    assert "verify: all are up; looking again in " in (quiet.directory / "progress").read_text()


def test_what_was_up_long_enough_is_not_waited_for(lab: Lab) -> None:
    lab.units(up=100)
    lab.run(stable_for=60)
    assert calls(lab) == ["show"] and "stable_for" not in (lab.directory / "progress").read_text()


def test_a_unit_that_fails_while_its_port_is_waited_for(quiet: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PORT_GRACE", 1)
    quiet.units(block("dies.service", "active", "running", ago(1), 0), file="units-1")
    quiet.units(block("dies.service", "activating", "auto-restart", ago(1), 1))
    told = failures(quiet.run(ports=[_free_port()]))
    assert len(told) == 2 and "dies.service (restarted once, and is about to be again" in told[0]


@pytest.fixture
def listener() -> t.Iterator[int]:
    with socket.create_server(("127.0.0.2", 0)) as server:
        yield int(server.getsockname()[1])


def test_a_port_at_another_address_is_not_open(lab: Lab, listener: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PORT_GRACE", 1)
    report = lab.run(ports=[listener])
    (message,) = failures(report)
    assert message.startswith(f"{NODE}: port {listener}: 127.0.0.1:{listener} accepts no connection: only ")
    assert message.endswith(" at 127.0.0.2 listens") and "something" not in message


def test_it_is_known_what_was_looked_at(lab: Lab) -> None:
    lab.units(block(*WELL, ago(50), 0))
    report = lab.run(ports=[lab.server.port], script="machine.succeed('true')")
    assert report.ok and all(check.seen for check in report.checks), report.checks
    written = json.loads((lab.directory / "results" / "results.json").read_text())
    assert [check["seen"] for check in written["checks"]] == [check.seen for check in report.checks]
    assert f"127.0.0.1:{lab.server.port}, asked by the node itself" in report.junit()


class Peer:
    """A node that reaches some places."""

    def __init__(self, *places: str) -> None:
        self.places = places
        self.asked: list[str] = []

    def run(self, command: str, timeout: float) -> Output:
        self.asked.append(command)
        return Output(0, "\n".join((*self.places, "10.0.0.9/1")).encode(), b"")


def ask(ports: t.Sequence[Port], peers: t.Mapping[str, Peer]) -> dict[Port, Answer]:
    def connect(name: str) -> t.Any:
        if name in peers:
            return peers[name]
        raise ComposeError("is down")

    return ask_from_outside(ports, ["a", "b", "c", "d", "e"], connect)


def test_ports_are_asked_for_by_others() -> None:
    ports = [Port(name, f"10.0.0.{number}", 80) for number, name in enumerate("abcde", 1)]
    peers = {name: Peer() for name in "abc"}
    peers["d"] = Peer("10.0.0.1/80", "10.0.0.3/80")
    answers = {port.node: answer for port, answer in ask(ports, peers).items()}
    assert answers["a"] == Answer(True, ("b", "c", "d")), "the third reaches it"
    assert answers["b"] == Answer(False, ("c", "d")), "the fourth is down"
    assert answers["c"] == Answer(True, ("d",))
    assert answers["e"] == Answer(False, ("a", "b", "c"))
    assert len(peers["a"].asked) == 2, "not of itself"


def test_ports_that_nobody_can_be_asked_about() -> None:
    port = Port("a", "10.0.0.1", 80)
    assert ask([port], {}) == {port: Answer(False)}
    assert ask_from_outside([port], ["a"], pytest.fail) == {port: Answer(False)}


def test_a_port_that_others_do_not_reach() -> None:
    nodes = {name: Expected("x", (80, 81), f"10.0.0.{number}") for number, name in enumerate("abcde", 1)}
    facts = {"identity": ["x"], "state": ["running"]}
    found = {name: Looked(judge(name, expected, facts, 1.0)) for name, expected in nodes.items()}
    peers = {name: Peer(*(f"10.0.0.{number}/80" for number in range(1, 6))) for name in "abcde"}
    checks = ask_others(nodes, found, [], t.cast(t.Any, peers.get))
    assert [str(check) for check in checks["a"] if not check.ok] == [
        "a: port 81: 10.0.0.1:81 accepts connections of the node itself, but not of b, c, d: a firewall?"
    ]
    assert {check.name: check.seen for check in checks["a"]}["port 80"] == "10.0.0.1:80, asked by b"
