"""The client of Kadeploy's REST interface, on the stand-in."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy import rest
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.outcome import (
    Failure,
    KadeployError,
    Order,
    UnderWay,
)
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.rest import Rest

from .conftest import Serve

NODES = ["sim-1", "sim-2", "sim-3"]
OWN: dict[str, t.Any] = {
    "name": "own",
    "version": 2026112800,
    "os": "linux",
    "image": {"file": "server:///srv/images/test.tgz", "kind": "tar", "compression": "gzip"},
    "boot": {"kernel": "/vmlinuz", "initrd": "/initrd.img", "kernel_params": "quiet"},
    "filesystem": "ext4",
}


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "FIRST", 0.05)


@pytest.fixture(params=["3.3.11", "3.9.3"])
def version(request: pytest.FixtureRequest) -> str:
    """Either Kadeploy."""
    return str(request.param)


def test_every_node_has_its_outcome(serve: Serve, version: str) -> None:
    server = serve(version)
    faults = [{"kind": "fail", "machine": "sim-1", "step": "sync", "error": "disk is full\n"}]
    server.faults._write([*faults, {"kind": "lost", "machine": "sim-2"}])
    client = Rest(server.url, "alice")
    identifier = client.deploy(Order(NODES, OWN))
    outcome = client.wait(identifier, NODES, 60)
    assert (outcome.identifier, list(outcome.ok), outcome.lost) == (identifier, ["sim-3"], ["sim-2"])
    step = "BroadcastEnvChain-sync" if version == "3.3.11" else "BroadcastEnvKascade-sync"
    assert outcome.failed == {"sim-1": Failure(step, "disk is full")}
    assert outcome.reasons()["sim-1"] == f"{step}: disk is full"
    assert outcome.reasons()["sim-2"] == "left out by Kadeploy, which does not say why: it was busy"
    client.forget(identifier)
    client.forget(identifier)
    with pytest.raises(KadeployError, match="the job of its nodes is over"):
        client.wait(identifier, NODES, 60)


def test_a_deployment_that_fails_as_a_whole(serve: Serve) -> None:
    server = serve()
    server.faults._write([{"kind": "lost"}])
    client = Rest(server.url, "alice")
    outcome = client.wait(client.deploy(Order(NODES, OWN)), NODES, 60)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.ok, outcome.lost) == (14, (), [])
    assert set(outcome.reasons()) == set(NODES)


def test_a_deadline_cancels_nothing(serve: Serve) -> None:
    server = serve(pace=1)
    client = Rest(server.url, "alice")
    identifier = client.deploy(Order(["sim-1"], OWN))
    with pytest.raises(ComposeError, match=f"the deployment {identifier} has not ended within 0 s; it goes on"):
        client.wait(identifier, ["sim-1"], 0)
    assert client.under_way() == [UnderWay(identifier, "own", frozenset({"sim-1"}), done=False)]
    client.forget(identifier)
    assert server.database.state("sim-1")["state"] == "aborted"


@pytest.mark.parametrize(
    ("order", "code", "words"),
    [
        (Order(["zorro"], OWN), 2, "The node 'zorro' does not exist"),
        (Order(["sim-4"], OWN), 6, "the job has not begun, is over, or not of type deploy"),
        (Order(["sim-1"], {**OWN, "image": {**OWN["image"], "kind": "qcow2"}}), 7, "'tar', 'dd' or 'fsa'"),
        (Order(["sim-1"], {**OWN, "image": {**OWN["image"], "file": "server:///nope"}}), 5, "cannot read a file"),
        (Order(["sim-1"], {**OWN, "image": {**OWN["image"], "file": "local:///x"}}), 3, "give a path on the server"),
        (Order(["sim-1"], {"name": "x"}), 7, r"The field is mandatory \[field: os\]"),
    ],
)
def test_refusals_say_what_to_do(serve: Serve, order: Order, code: int, words: str) -> None:
    with pytest.raises(KadeployError, match=words) as refused:
        Rest(serve().url, "alice").deploy(order)
    assert refused.value.code == code


def test_who_may_not(serve: Serve) -> None:
    server = serve(passwords={"alice": "secret"})
    with pytest.raises(KadeployError, match="Unauthorized"):
        Rest(server.url, "alice", "wrong").deploy(Order(["sim-1"], OWN))
    assert Rest(server.url, "alice", "secret").deploy(Order(["sim-1"], OWN)).startswith("D-")


def test_what_passes_is_tried_again(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve()
    client = Rest(server.url, "alice")
    identifier = client.deploy(Order(["sim-1"], OWN))
    server.faults._write([{"kind": "http", "method": "GET", "status": 503, "times": 1}, {"kind": "reset", "times": 1}])
    assert client.wait(identifier, ["sim-1"], 60).ok == ("sim-1",)
    monkeypatch.setattr(rest, "PATIENCE", 0)
    server.faults._write([{"kind": "http", "status": 503, "times": 1}])
    with pytest.raises(KadeployError) as refused:
        client.version()
    assert refused.value.code == 503
    with pytest.raises(ComposeError, match="cannot be reached"):
        Rest("http://127.0.0.1:9", "alice").version()


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        (
            "SetDeploymentMiniOSUntrusted-wait_reboot: Unreachable after the reboot",
            Failure("SetDeploymentMiniOSUntrusted-wait_reboot", "Unreachable after the reboot"),
        ),
        ("BootNewEnvKexec-kexec: a: b\nc\n", Failure("BootNewEnvKexec-kexec", "a: b\nc")),
        ("something else", Failure("", "something else")),
        ("", Failure("", "no reason was given")),
    ],
)
def test_reasons_of_both_generations(text: str, failure: Failure) -> None:
    assert Failure.read(text) == failure
