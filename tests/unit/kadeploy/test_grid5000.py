"""The client of the API of Grid'5000, on the stand-ins."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy import grid5000
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.grid5000 import Grid5000Api
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.outcome import (
    Failure,
    KadeployError,
    Order,
)
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.store import Store
from ansible_collections.immutable.compose.plugins.module_utils.platforms.shelf import LocalShelf

from .conftest import Serve, start_api
from .test_rest import NODES, OWN

Connect = t.Callable[..., tuple[t.Any, Grid5000Api]]


@pytest.fixture
def connect(serve: Serve, web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Connect]:
    """Starts Kadeploy and the API, and logs in."""
    running = []
    monkeypatch.setattr(grid5000, "PITCH", 0.05)

    def begin(password: str = "alice", **options: t.Any) -> tuple[t.Any, Grid5000Api]:
        kadeploy = serve(**options)
        server, api = start_api(tmp_path / "api", kadeploy.url)
        running.append((server, api))
        store = Store(LocalShelf(str(tmp_path), "own"), f"{web}/own", lambda: "secret")
        return kadeploy, Grid5000Api("grenoble", store, "alice", password, f"{server.url}/stable")

    yield begin
    for server, api in running:
        server.shutdown()
        server.server_close()
        api.jobs.stop()


def test_every_node_has_its_outcome(connect: Connect) -> None:
    kadeploy, client = connect()
    faults = [{"kind": "fail", "machine": "sim-1", "step": "sync", "error": "disk is full\n"}]
    kadeploy.faults._write([*faults, {"kind": "lost", "machine": "sim-2"}])
    outcome = client.wait(client.deploy(Order(NODES, OWN)), NODES, 60)
    assert (outcome.ok, outcome.lost) == (("sim-3",), ["sim-2"])
    assert outcome.failed == {"sim-1": Failure("BroadcastEnvChain-sync", "disk is full")}


def test_deployments_that_come_to_nothing(connect: Connect) -> None:
    kadeploy, client = connect(pace=0.05)
    identifier = client.deploy(Order(["sim-1"], OWN))
    assert client.outcome(identifier, ["sim-1"]) is None
    client.forget(identifier)
    cancelled = client.outcome(identifier, ["sim-1"])
    assert cancelled is not None and cancelled.error is not None and cancelled.ok == ()
    assert cancelled.error.text == "canceled: The deployment no longer exists on the Kadeploy server"
    kadeploy.faults._write([{"kind": "lost"}])
    busy = client.wait(client.deploy(Order(["sim-2"], OWN)), ["sim-2"], 60)
    assert busy.error is not None and busy.error.code == 14


@pytest.mark.parametrize(
    ("order", "code", "words"),
    [
        (Order(["zorro"], OWN), 2, "The node 'zorro' does not exist"),
        (Order(["sim-4"], OWN), 6, "the job has not begun, is over, or not of type deploy"),
    ],
)
def test_refusals_say_what_to_do(connect: Connect, order: Order, code: int, words: str) -> None:
    with pytest.raises(KadeployError, match=words) as refused:
        connect()[1].deploy(order)
    assert refused.value.code == code


def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)  # the library's, between its tries
    store = Store(LocalShelf(str(tmp_path), "own"), "http://127.0.0.1:9/own", lambda: "secret")
    with pytest.raises(ComposeError, match="cannot be reached"):
        Grid5000Api("grenoble", store, "alice", "alice", "http://127.0.0.1:9/stable")


def test_a_wrong_password(connect: Connect) -> None:
    with pytest.raises(KadeployError) as refused:
        connect("wrong")
    assert refused.value.code == 401
