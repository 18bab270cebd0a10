"""What becomes of a connection that breaks, and of answers that are none, over a real network."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.client import LostAnswer
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.platform import Proxmox

from .conftest import World

Fault = dict[str, t.Any]
UPLOAD: Fault = {"kind": "reset", "path": "/upload$", "bytes": 60_000}
CONFIG: Fault = {"method": "(PUT|POST)", "path": "/qemu/100/config$"}


def _staged(world: World, *faults: Fault) -> Proxmox:
    platform = world.platform("web1")
    world.faults(*faults)
    platform.stage(world.targets(platform, "one"))
    world.faults()
    return platform


@pytest.mark.parametrize(
    "fault",
    [
        {**UPLOAD, "times": 2},
        {"kind": "reset", "path": "/upload$", "times": 1},
        {"kind": "reset", "path": "/upload$", "answer": True, "times": 1},
        {"kind": "reset", "method": "GET", "times": 3},
        {"kind": "reset", **CONFIG, "times": 1},
        {"kind": "reset", **CONFIG, "answer": True, "times": 1},
        {"kind": "http", "method": "GET", "status": 500, "times": 3},
        {"kind": "http", "method": "GET", "status": 596, "message": "Broken pipe", "times": 3},
        {"kind": "http", "path": "/qemu/100/config$", "status": 595, "message": "No route to host", "times": 3},
        {"kind": "http", **CONFIG, "status": 596, "message": "Broken pipe", "times": 1},
        {"kind": "http", **CONFIG, "status": 500, "message": "got no worker upid - start worker failed", "times": 2},
    ],
)
def test_what_passes_is_overcome(world: World, fault: Fault) -> None:
    platform = _staged(world, fault)
    outcomes = platform.switch(world.targets(platform, "one"), world.tell)
    assert outcomes["web1"].ok, outcomes
    world.finish(world.platform("web1"), "one")
    assert world.observed(world.platform("web1"))["web1"].verified == "one"
    assert world.volumes() == world.named()
    assert len(world.uploads()) == 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            UPLOAD,
            r"web1: upload of compose\.lab\.\w+\.qcow2 to local of pve1: the connection to Proxmox at 127\.0\.0\.1",
        ),
        (
            {"kind": "http", "path": "/upload$", "message": "no space left on device"},
            "web1: Proxmox refused POST /nodes/pve1/storage/local/upload: 500 no space left on device",
        ),
        (
            {"kind": "http", "method": "GET", "path": "/qemu/100/config$", "message": "oops"},
            "web1: Proxmox refused GET /nodes/pve1/qemu/100/config: 500 oops",
        ),
        ({"kind": "reset", "path": "/cluster/resources"}, r"broke \(GET /cluster/resources\)"),
    ],
)
def test_what_stays_is_told(world: World, fault: Fault, words: str) -> None:
    with pytest.raises(ComposeError, match=words):
        _staged(world, fault)
    world.faults()
    _staged(world)


def test_a_change_that_nobody_answered_for_is_not_repeated(world: World) -> None:
    """The proxy gave up waiting, but what it waited for goes on."""
    _staged(world)
    client = world.platform("web1").service.cluster.client
    world.faults({"kind": "http", "method": "POST", "path": "/unknown", "status": 596, "message": "Timed out"})
    before = len(world.calls())
    with pytest.raises(LostAnswer, match="Timed out"):
        client.call("POST", "/unknown")
    assert world.calls()[before:] == ["POST /api2/json/unknown"]
