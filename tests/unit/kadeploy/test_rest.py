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
    Registered,
)
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.rest import Rest

from .conftest import Serve

NODES = ["sim-1", "sim-2", "sim-3"]
DEMO = Registered("demo", 1, "alice")
OWN: dict[str, t.Any] = {
    "name": "own",
    "version": 2026112800,
    "os": "linux",
    "image": {"file": "server:///srv/images/test.tgz", "kind": "tar", "compression": "gzip"},
    "boot": {"kernel": "/vmlinuz", "initrd": "/initrd.img", "kernel_params": "quiet"},
    "filesystem": "ext4",
}


@pytest.fixture(params=["3.3.11", "3.9.3"])
def version(request: pytest.FixtureRequest) -> str:
    """Either Kadeploy."""
    return str(request.param)


def test_every_node_has_its_outcome(serve: Serve, version: str) -> None:
    server = serve(version)
    faults = [{"kind": "fail", "machine": "sim-1", "step": "sync", "error": "disk is full\n"}]
    server.faults._write([*faults, {"kind": "lost", "machine": "sim-2"}])
    client = Rest(server.url, "alice")
    identifier = client.deploy(Order(NODES, DEMO, keys="server:///srv/images/keys.pub"))
    outcome = client.wait(identifier, NODES, 60, 0.05)
    assert (outcome.identifier, list(outcome.ok), outcome.lost) == (identifier, ["sim-3"], ["sim-2"])
    step = "BroadcastEnvChain-sync" if version == "3.3.11" else "BroadcastEnvKascade-sync"
    assert outcome.failed == {"sim-1": Failure(step, "disk is full")}
    assert outcome.reasons()["sim-1"] == f"{step}: disk is full"
    assert outcome.reasons()["sim-2"] == "left out by Kadeploy, which says nothing of it: it was busy"
    client.forget(identifier)
    client.forget(identifier)
    with pytest.raises(KadeployError, match="the job of its nodes is over"):
        client.outcome(identifier, NODES)


def test_a_deployment_that_fails_as_a_whole(serve: Serve) -> None:
    server = serve()
    server.faults._write([{"kind": "lost"}])
    client = Rest(server.url, "alice")
    outcome = client.wait(client.deploy(Order(NODES, DEMO)), NODES, 60, 0.05)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.ok, outcome.lost) == (14, (), [])
    assert set(outcome.reasons()) == set(NODES)


def test_a_deadline_cancels_nothing(serve: Serve) -> None:
    server = serve(pace=1)
    client = Rest(server.url, "alice")
    identifier = client.deploy(Order(["sim-1"], DEMO))
    with pytest.raises(ComposeError, match=f"the deployment {identifier} has not ended within 0 s; it goes on"):
        client.wait(identifier, ["sim-1"], 0, 0.05)
    assert client.outcome(identifier, ["sim-1"]) is None
    client.forget(identifier)
    assert server.database.state("sim-1")["state"] == "aborted"


def test_environments(serve: Serve, version: str) -> None:
    client = Rest(serve(version).url, "alice")
    assert client.find(Registered("own")) is None
    meant = client.register(OWN)
    assert meant == Registered("own", 2026112800, "alice")
    assert client.register(OWN) == meant
    found = client.find(Registered("own"))
    assert found is not None and found["boot"] == OWN["boot"]
    with pytest.raises(KadeployError, match="give another version"):
        client.register({**OWN, "boot": {"kernel": "/other"}})
    assert client.wait(client.deploy(Order(["sim-1"], meant)), ["sim-1"], 60, 0.05).ok == ("sim-1",)
    assert client.wait(client.deploy(Order(["sim-1"], OWN)), ["sim-1"], 60, 0.05).ok == ("sim-1",)


def test_reboots(serve: Serve) -> None:
    server = serve()
    client = Rest(server.url, "alice")
    server.faults._write([{"kind": "bmc_silent", "machine": "sim-2"}])
    outcome = client.wait(client.reboot(["sim-1", "sim-2"]), ["sim-1", "sim-2"], 60, 0.05)
    assert outcome.ok == ("sim-1",)
    assert outcome.reasons() == {"sim-2": "Simple-reboot: bmc does not answer"}


@pytest.mark.parametrize(
    ("order", "code", "words"),
    [
        (Order(["zorro"], DEMO), 2, "The node 'zorro' does not exist"),
        (Order(["sim-4"], DEMO), 6, "the job has not begun, is over, or not of type deploy"),
        (Order(["sim-1"], Registered("nope", 1, "alice")), 7, "the environment nope,1 of alice does not exist"),
        (Order(["sim-1"], {**OWN, "image": {**OWN["image"], "kind": "qcow2"}}), 7, "'tar', 'dd' or 'fsa'"),
        (Order(["sim-1"], {**OWN, "image": {**OWN["image"], "file": "server:///nope"}}), 5, "cannot read a file"),
        (Order(["sim-1"], {**OWN, "image": {**OWN["image"], "file": "local:///x"}}), 3, "give a path on the server"),
        (Order(["sim-1"], {"name": "x"}), 7, r"The field is mandatory \[field: os\]"),
        (Order(["sim-1"], Registered("nope")), 500, "refused the deployment of 1 nodes: NoMethodError private method"),
    ],
)
def test_refusals_say_what_to_do(serve: Serve, order: Order, code: int, words: str) -> None:
    with pytest.raises(KadeployError, match=words) as refused:
        Rest(serve().url, "alice").deploy(order)
    assert refused.value.code == code


def test_who_may_not(serve: Serve) -> None:
    server = serve(passwords={"alice": "secret"})
    with pytest.raises(KadeployError, match="Unauthorized"):
        Rest(server.url, "alice", "wrong").deploy(Order(["sim-1"], DEMO))
    assert Rest(server.url, "alice", "secret").deploy(Order(["sim-1"], DEMO)).startswith("D-")
    with pytest.raises(KadeployError, match='Only administrators can use the "public" tag'):
        Rest(server.url, "alice", "secret").register({**OWN, "visibility": "public"})


def test_what_passes_is_tried_again(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve()
    client = Rest(server.url, "alice")
    identifier = client.deploy(Order(["sim-1"], DEMO))
    server.faults._write([{"kind": "http", "method": "GET", "status": 503, "times": 1}, {"kind": "reset", "times": 1}])
    assert client.wait(identifier, ["sim-1"], 60, 0.05).ok == ("sim-1",)
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
