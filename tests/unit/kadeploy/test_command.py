"""The client of Kadeploy's commands, on those of the stand-in."""

from __future__ import annotations

import os
import signal
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import CommandError, ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.nodes.frontend import Frontend as Host
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy import command
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.command import CommandLine
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.outcome import (
    Failure,
    KadeployError,
    Order,
    Outcome,
    UnderWay,
)

from .conftest import SIMULATORS, Serve
from .test_rest import NODES, OWN

Frontend = t.Callable[..., tuple[t.Any, CommandLine]]


def work_at(server: t.Any, home: Path, patch: pytest.MonkeyPatch) -> None:
    """Be where its commands are."""
    home.mkdir(exist_ok=True)
    path = f"{SIMULATORS / 'kadeploy/bin'}:{os.environ['PATH']}"
    for name, value in {"PATH": path, "USER": "alice", "HOME": home, "KADEPLOY3_CONFIG_DIR": server.state}.items():
        patch.setenv(name, str(value))


@pytest.fixture
def frontend(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Frontend:
    """A server, and its commands."""

    def begin(*given: t.Any, **options: t.Any) -> tuple[t.Any, CommandLine]:
        server = serve(*given, **options)
        work_at(server, tmp_path / "home", monkeypatch)
        return server, CommandLine()

    return begin


def deployed(client: CommandLine, order: Order) -> Outcome:
    """What comes of an order, and nothing is left of it."""
    identifier = client.deploy(order)
    outcome = client.wait(identifier, order.nodes, 60)
    client.forget(identifier)
    assert client.under_way() == []
    return outcome


@pytest.mark.parametrize("version", ["3.3.11", "3.9.3"])
def test_every_node_has_its_outcome(frontend: Frontend, version: str) -> None:
    server, client = frontend(version)
    faults = [{"kind": "fail", "machine": "sim-1", "step": "sync", "error": "disk is full\n"}]
    server.faults._write([*faults, {"kind": "lost", "machine": "sim-2"}])
    outcome = deployed(client, Order(NODES, OWN))
    assert (list(outcome.ok), outcome.lost) == (["sim-3"], ["sim-2"])
    step = "BroadcastEnvChain-sync" if version == "3.3.11" else "BroadcastEnvKascade-sync"
    assert outcome.failed == {"sim-1": Failure(step, "disk is full")}


def test_exit_code_0_proves_nothing(frontend: Frontend) -> None:
    server, client = frontend()
    server.faults._write([{"kind": "bmc_silent"}])
    outcome = deployed(client, Order(NODES, OWN))
    assert (outcome.ok, set(outcome.failed), outcome.error) == ((), set(NODES), None)


def test_all_nodes_are_busy(frontend: Frontend) -> None:
    server, client = frontend()
    server.faults._write([{"kind": "lost"}])
    outcome = deployed(client, Order(NODES, OWN))
    assert outcome.error is not None
    assert (outcome.error.code, outcome.ok) == (14, ())


def test_what_goes_on_is_found_and_cancelled(frontend: Frontend) -> None:
    server, client = frontend(pace=1)
    identifier = client.deploy(Order(["sim-1", "sim-2"], OWN))
    (found,) = CommandLine().under_way()  # as another run finds it
    assert found == UnderWay(identifier, "own", frozenset({"sim-1", "sim-2"}), done=False)
    with pytest.raises(ComposeError, match="has not ended within 1 s; it goes on"):
        client.wait(identifier, ["sim-1", "sim-2"], 1)
    client.forget(identifier)
    client.forget(identifier)
    deadline = time.monotonic() + 30
    while server.database.state("sim-1")["state"] != "aborted":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert server.workflows == {} and client.under_way() == []


def test_a_command_that_was_killed(frontend: Frontend, tmp_path: Path) -> None:
    _server, client = frontend(pace=1)
    identifier = client.deploy(Order(["sim-1"], OWN))
    (pid,) = (tmp_path / "home").rglob("pid")
    os.kill(int(pid.read_text()), signal.SIGKILL)
    outcome = client.wait(identifier, ["sim-1"], 30)
    assert outcome.error is not None and outcome.ok == ()
    (found,) = client.under_way()
    assert found.done
    client.forget(identifier)


def test_the_end_of_a_command_is_not_known_at_once(
    frontend: Frontend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the frontend is busy, some time passes between its end and its exit code."""
    _server, client = frontend()
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow/mv").write_text('#!/bin/sh\nsleep 2\nexec /bin/mv "$@"\n')
    (tmp_path / "slow/mv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/slow:{os.environ['PATH']}")
    assert list(deployed(client, Order(["sim-1"], OWN)).ok) == ["sim-1"]


def test_machines_that_are_off(frontend: Frontend) -> None:
    server, client = frontend()
    assert sorted(client.nodes()) == ["sim-1", "sim-2", "sim-3", "sim-4"]
    server.faults._write([{"kind": "bmc_silent", "machine": "sim-2", "times": 3}])
    outcome = client.switch_off(["sim-1", "sim-2"], 60)
    assert (outcome.ok, outcome.reasons()) == (("sim-1",), {"sim-2": "Off-power: bmc does not answer"})
    client.await_power(["sim-1"], 1)
    assert client.are_off(["sim-1", "sim-2", "sim-3"], 60) == {"sim-1"}
    with pytest.raises(KadeployError) as refused:
        client.switch_off(["sim-4"], 60)
    assert refused.value.code == 6


def test_secrets_are_on_no_command_line(frontend: Frontend, monkeypatch: pytest.MonkeyPatch) -> None:
    """The description says where documents are, and everybody on a frontend sees what commands are given."""
    _server, client = frontend()
    seen: list[str] = []
    run = command.Here.run

    def noted(self: t.Any, words: t.Sequence[str], *rest: t.Any, **more: t.Any) -> t.Any:
        seen.extend(words)
        return run(self, words, *rest, **more)

    monkeypatch.setattr(command.Here, "run", noted)
    deployed(client, Order(["sim-1"], OWN))
    assert set(seen) == {"sh", "-s"}


@pytest.mark.parametrize(
    ("order", "code", "words"),
    [
        (Order(["sim-4"], OWN), 6, "the job has not begun, is over, or not of type deploy"),
        (Order(["zorro"], OWN), 0, "The nodes zorro does not belongs to any server"),
        (Order(["sim-1"], {"name": "x"}), 7, r"The field is mandatory \[field: os\]"),
    ],
)
def test_refusals_say_what_to_do(frontend: Frontend, order: Order, code: int, words: str) -> None:
    with pytest.raises(KadeployError, match=words) as refused:
        client = frontend()[1]
        client.deploy(order)
    assert refused.value.code == code and client.under_way() == []
    with pytest.raises(KadeployError, match=words):
        client.rehearse(order)


def test_no_frontend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(CommandError, match="kadeploy3 on this host"):
        CommandLine().deploy(Order(["sim-1"], OWN))
    with pytest.raises(ComposeError, match="the frontend .* cannot be reached"):
        CommandLine(Host("ssh://127.0.0.1:9")).nodes()
