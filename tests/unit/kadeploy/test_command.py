"""The client of Kadeploy's commands, on those of the stand-in."""

from __future__ import annotations

import os
import time
import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import CommandError
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.command import CommandLine
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.outcome import (
    Failure,
    KadeployError,
    Order,
    Registered,
)

from .conftest import SIMULATORS, Serve
from .test_rest import DEMO, NODES, OWN

Frontend = t.Callable[..., tuple[t.Any, CommandLine]]


@pytest.fixture
def frontend(serve: Serve) -> Frontend:
    """A server, and its commands."""

    def begin(*given: t.Any, **options: t.Any) -> tuple[t.Any, CommandLine]:
        server = serve(*given, **options)
        path = f"{SIMULATORS / 'kadeploy/bin'}:{os.environ['PATH']}"
        settings = [f"PATH={path}", "USER=alice", f"KADEPLOY3_CONFIG_DIR={server.state}"]
        return server, CommandLine(("env", *settings, "sh", "-c"))

    return begin


@pytest.mark.parametrize("version", ["3.3.11", "3.9.3"])
def test_every_node_has_its_outcome(frontend: Frontend, version: str) -> None:
    server, client = frontend(version)
    faults = [{"kind": "fail", "machine": "sim-1", "step": "sync", "error": "disk is full\n"}]
    server.faults._write([*faults, {"kind": "lost", "machine": "sim-2"}])
    outcome = client.deploy(Order(NODES, OWN, keys="server:///srv/images/keys.pub"), 60)
    assert outcome.identifier.startswith("D-")
    assert (list(outcome.ok), outcome.lost) == (["sim-3"], ["sim-2"])
    step = "BroadcastEnvChain-sync" if version == "3.3.11" else "BroadcastEnvKascade-sync"
    assert outcome.failed == {"sim-1": Failure(step, "disk is full")}
    server.faults._write([{"kind": "bmc_silent", "machine": "sim-1"}])
    again = client.reboot(["sim-1", "sim-3"], 60)
    assert (again.ok, again.reasons()) == (("sim-3",), {"sim-1": "Simple-reboot: bmc does not answer"})


def test_exit_code_0_proves_nothing(frontend: Frontend) -> None:
    server, client = frontend()
    server.faults._write([{"kind": "bmc_silent"}])
    outcome = client.deploy(Order(NODES, DEMO), 60)
    assert (outcome.ok, set(outcome.failed), outcome.error) == ((), set(NODES), None)


def test_all_nodes_are_busy(frontend: Frontend) -> None:
    server, client = frontend()
    server.faults._write([{"kind": "lost"}])
    outcome = client.deploy(Order(NODES, DEMO), 60)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.ok) == (14, ())


def test_a_deadline_cancels(frontend: Frontend) -> None:
    server, client = frontend(pace=1)
    with pytest.raises(CommandError, match="the deployment of 1 nodes was cancelled: it had not ended within 2 s"):
        client.deploy(Order(["sim-1"], DEMO), 2)
    deadline = time.monotonic() + 30
    while server.database.state("sim-1")["state"] != "aborted":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert server.workflows == {}


def test_environments(frontend: Frontend) -> None:
    _server, client = frontend()
    assert client.find(Registered("own")) is None
    client.register(OWN)
    found = client.find(Registered("own", 2026112800, "alice"))
    assert found is not None and found["boot"] == OWN["boot"]
    with pytest.raises(KadeployError, match="give another version") as refused:
        client.register(OWN)
    assert refused.value.code == 10


@pytest.mark.parametrize(
    ("order", "code", "words"),
    [
        (Order(["sim-4"], DEMO), 6, "the job has not begun, is over, or not of type deploy"),
        (Order(["zorro"], DEMO), 0, "The nodes zorro does not belongs to any server"),
        (Order(["sim-1"], Registered("nope")), 0, "Resource not found /environments"),
        (Order(["sim-1"], {"name": "x"}), 7, r"The field is mandatory \[field: os\]"),
    ],
)
def test_refusals_say_what_to_do(frontend: Frontend, order: Order, code: int, words: str) -> None:
    with pytest.raises(KadeployError, match=words) as refused:
        frontend()[1].deploy(order, 60)
    assert refused.value.code == code


def test_no_frontend() -> None:
    with pytest.raises(CommandError, match="exit code 127"):
        CommandLine(("env", "PATH=/usr/bin:/bin", "sh", "-c")).version()
    with pytest.raises(CommandError, match="exit code 255"):
        CommandLine(("ssh", "-F", "none", "-o", "BatchMode=yes", "-p", "9", "127.0.0.1")).version()
