# SPDX-License-Identifier: GPL-3.0-or-later
"""How deployments go wrong, by whatever way Kadeploy is asked: what users are told, and Kadeploy's number of it."""

from __future__ import annotations

import time
import typing as t
from pathlib import Path

import pytest
import requests

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy import grid5000, rest
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.backend import Backend
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.command import CommandLine
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.grid5000 import Grid5000Api
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.outcome import (
    KadeployError,
    Order,
    Outcome,
)
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.rest import Rest
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.store import Store
from ansible_collections.immutable.compose.plugins.module_utils.platforms.shelf import LocalShelf

from .conftest import ClusterOptions, Serve, start_api
from .test_command import work_at
from .test_rest import OWN

#: One way through each macrostep, with seconds for it.
AUTOMATON = [
    ["SetDeploymentEnv", [["SetDeploymentEnvUntrusted", 0, 0]]],
    ["BroadcastEnv", [["BroadcastEnvChain", 0, 120]]],
    ["BootNewEnv", [["BootNewEnvClassical", 0, 0]]],
]
Ask = t.Callable[..., tuple[t.Any, Backend]]


@pytest.fixture(params=["rest", "command", "grid5000"])
def ask(
    request: pytest.FixtureRequest, serve: Serve, web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> t.Iterator[Ask]:
    """Starts a Kadeploy with ``sim-1`` to ``sim-4``, of which ``alice`` has three, and who asks it."""
    monkeypatch.setattr(rest, "FIRST", 0.05)
    monkeypatch.setattr(grid5000, "PITCH", 0.05)
    running = []

    def begin(**options: t.Any) -> tuple[t.Any, Backend]:
        server = serve(**options)
        if request.param == "rest":
            return server, Rest(server.url, "alice")
        if request.param == "command":
            work_at(server, tmp_path / "home", monkeypatch)
            return server, CommandLine()
        api, core = start_api(tmp_path / "api", server.url)
        running.append((api, core))
        store = Store(LocalShelf(str(tmp_path), "own"), f"{web}/own", lambda: "secret")
        return server, Grid5000Api("grenoble", store, "alice", "alice", f"{api.url}/stable")

    yield begin
    for api, core in running:
        api.shutdown()
        api.server_close()
        core.jobs.stop()


def outcome(client: Backend, *nodes: str) -> Outcome:
    return client.wait(client.deploy(Order(nodes, OWN)), nodes, 60)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"kind": "bmc_silent"}, "SetDeploymentEnvUntrusted-reboot: bmc does not answer"),
        ({"kind": "no_boot"}, "SetDeploymentEnvUntrusted-wait_reboot: Unreachable after the reboot"),
        ({"kind": "no_boot", "system": "user"}, "BootNewEnvClassical-wait_reboot: Unreachable after the reboot"),
        (
            {"kind": "hang", "step": "sync"},
            "BroadcastEnvChain-sync: Timeout in the BroadcastEnvChain step",
        ),
        (
            {"kind": "fail", "step": "umount_deploy_part", "error": "TAKTUK-ERROR-state: connection failed\n"},
            "BootNewEnvClassical-umount_deploy_part: TAKTUK-ERROR-state: connection failed",
        ),
        (
            {"kind": "fail", "step": "check_kernel_files", "error": "file /x not found in tarball (/x)\n(again)\n"},
            "BroadcastEnvChain-check_kernel_files: file /x not found in tarball (/x)\n(again)",
        ),
        ({"kind": "lost"}, "left out by Kadeploy, which does not say why: it was busy"),
    ],
)
def test_why_a_node_failed(ask: Ask, fault: dict[str, t.Any], reason: str) -> None:
    server, client = ask(clusters={"sim": ClusterOptions(["sim-[1-4]"], AUTOMATON)})
    server.faults._write([{**fault, "machine": "sim-2"}])
    told = outcome(client, "sim-1", "sim-2")
    assert told.error is None and told.reasons()["sim-2"] == reason
    # Those that were in a step together are not told apart where it takes too long.
    assert list(told.ok) == (["sim-1"] if fault["kind"] != "hang" else [])


def test_all_machines_are_busy(ask: Ask) -> None:
    server, client = ask()
    server.faults._write([{"kind": "lost"}])
    error = outcome(client, "sim-1", "sim-2").error
    assert error is not None and error.code == 14
    assert "All the nodes have been discarded" in error.text and "wait for its end" in error.message


def test_the_job_ends_while_its_machines_are_deployed(ask: Ask) -> None:
    server, client = ask(pace=0.1)
    identifier = client.deploy(Order(["sim-1"], OWN))
    while (server.database.state("sim-1") or {"state": ""})["state"] != "deploying":
        time.sleep(0.01)
    requests.delete(f"{server.url}/rights/alice", headers={"X-Kadeploy-User": "root"}, timeout=30)
    try:
        error = client.wait(identifier, ["sim-1"], 60).error
    except KadeployError as raised:
        error = raised
    assert error is not None and error.code == 1
    assert "the job of its nodes is over" in error.message
    client.forget(identifier)
    with pytest.raises(KadeployError, match="the job has not begun, is over, or not of type deploy") as refused:
        client.deploy(Order(["sim-1"], OWN))
    assert refused.value.code == 6


def test_the_database_is_out_of_order(ask: Ask) -> None:
    server, client = ask()
    server.faults._write([{"kind": "database", "method": "POST", "path": "^/deployment", "times": 1}])
    with pytest.raises(KadeployError, match="MySQL server has gone away.*the database of Kadeploy is") as refused:
        identifier = client.deploy(Order(["sim-1"], OWN))
        raise client.wait(identifier, ["sim-1"], 60).error or AssertionError("it was deployed")
    assert refused.value.code == 20
    assert list(outcome(client, "sim-1").ok) == ["sim-1"], "what has passed is in nobody's way"


@pytest.mark.parametrize(
    ("size", "code", "says", "means"),
    [
        (200, 21, "the file is too big for the cache", "larger than the whole cache"),
        (60, 22, "Cache is full: impossible to cache the file", "wait for the end of other deployments"),
    ],
)
def test_the_cache_has_no_room(ask: Ask, size: int, code: int, says: str, means: str) -> None:
    """Another deployment has 60 of its 100 bytes."""
    server, client = ask(pace=0.1, cache_bytes=100)
    for name, length in (("first", 60), ("own", size)):
        (server.files._root / f"srv/images/{name}.tgz").write_bytes(b"x" * length)
    image = {**OWN["image"], "file": "server:///srv/images/first.tgz"}
    first = client.deploy(Order(["sim-1"], {**OWN, "name": "first", "image": image}))
    while (server.database.state("sim-1") or {"state": ""})["state"] != "deploying":
        time.sleep(0.01)
    own = Order(["sim-2"], {**OWN, "image": {**OWN["image"], "file": "server:///srv/images/own.tgz"}})
    refused = client.deploy(own)
    error = client.wait(refused, ["sim-2"], 60).error
    client.forget(refused)
    assert error is not None and error.code == code and says in error.text and means in error.message
    assert list(client.wait(first, ["sim-1"], 60).ok) == ["sim-1"], "the other one has its file"
    if code == 22:
        assert list(client.wait(client.deploy(own), ["sim-2"], 60).ok) == ["sim-2"], "there is room again"


def test_an_operation_that_nobody_knows(ask: Ask) -> None:
    _server, client = ask()
    client.forget("D-00000000-0000-0000-0000-000000000000")  # it is forgotten already
    with pytest.raises(ComposeError, match="not known any more|does not know this operation"):
        client.wait("D-00000000-0000-0000-0000-000000000000", ["sim-1"], 10)


def test_an_environment_of_that_name_is_another_users(ask: Ask) -> None:
    """Nothing is registered, so that is in nobody's way."""
    server, client = ask()
    other = {"environment": {**OWN, "boot": {"kernel": "/other"}, "visibility": "shared"}}
    for user in ("bob", "root"):
        made = requests.post(f"{server.url}/environments", json=other, headers={"X-Kadeploy-User": user}, timeout=30)
        assert made.status_code == 200, made.text
    assert list(outcome(client, "sim-1").ok) == ["sim-1"]


def test_a_description_that_the_api_cannot_fetch(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    api, core = start_api(tmp_path / "api", server.url)
    store = Store(LocalShelf(str(tmp_path), "own"), "http://127.0.0.1:9/own", lambda: "secret")
    client = Grid5000Api("grenoble", store, "alice", "alice", f"{api.url}/stable")
    with pytest.raises(KadeployError, match="Error fetching the image description file.*directory_url") as refused:
        client.deploy(Order(["sim-1"], OWN))
    assert refused.value.code == 5
    api.shutdown()
    api.server_close()
    core.jobs.stop()


def test_an_address_of_something_else(web: str) -> None:
    with pytest.raises(ComposeError, match="HTTP 404, which is not an answer of Kadeploy; is url its address"):
        Rest(web, "alice").nodes()


def test_an_error_of_the_server_itself(serve: Serve) -> None:
    server = serve()
    body = "---- NoMethodError ----\nprivate method called for nil\n---- Stack trace ----\n/usr/lib/kadeploy3/x.rb:1\n"
    server.faults._write([{"kind": "http", "method": "POST", "status": 500, "type": "text/plain", "body": body}])
    with pytest.raises(KadeployError) as refused:
        Rest(server.url, "alice").deploy(Order(["sim-1"], OWN))
    assert refused.value.code == 500
    assert refused.value.message.endswith("of 1 nodes: NoMethodError private method called for nil")
