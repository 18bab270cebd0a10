# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents for many nodes: at the same time, counted, and only where secrets can be read."""

from __future__ import annotations

import threading
import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils import progress
from ansible_collections.immutable.compose.plugins.module_utils.deploy.looking import verify
from ansible_collections.immutable.compose.plugins.module_utils.deploy.planning import Wish
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Node
from ansible_collections.immutable.compose.plugins.module_utils.nodes import refresh

from .conftest import Site

WHY = "site.compose.yml:7: compose_secrets.key of 'web2' cannot be read"


def scale(rack: Site, count: int) -> None:
    rack.set(nodes=tuple(Node(f"web{number}", "web", number, f"10.87.0.{number}") for number in range(1, count + 1)))


def test_many_nodes_are_refreshed_at_the_same_time_and_counted(rack: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    scale(rack, 20)
    rack.deploy()
    together = threading.Barrier(20, timeout=30)
    monkeypatch.setattr(progress, "HEARTBEAT", 0.01)

    def push(node: Node, *what: t.Any) -> None:
        together.wait()
        threading.Event().wait(0.1)
        if node.name == "web7":
            raise ComposeError("no route to host")

    monkeypatch.setattr(refresh, "push_document", push)
    scale(rack, 21)
    plan = rack.transaction().plan(Wish(), hold=True)
    assert {step.action for name, step in plan.nodes.items() if name != "web21"} == {"refresh"}
    rack.transaction().build()
    rack.transaction().stage()
    result = rack.transaction().switch()
    assert result.failed_nodes == ["web7"]
    assert "no route to host" in result.nodes["web7"].message
    said = rack.said()
    assert "refresh: 20 of 20 nodes left: web1, web10, web11" in said
    assert "refresh web7: failed: " in said
    assert "refresh: 19 of 20 nodes know their peers now" in said


def test_host_keys_of_many_are_counted(rack: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    scale(rack, 40)
    monkeypatch.setattr(progress, "HEARTBEAT", 0.005)
    rack.deploy()
    assert "node documents and host keys: " in rack.said() and " of 40" in rack.said()


def test_a_node_whose_secrets_cannot_be_read_is_not_compared_and_stops_a_deploy_before_it(rack: Site) -> None:
    rack.deploy()
    rack.set(unreadable={"web2": WHY})
    plan = rack.transaction().plan(Wish(), hold=False)
    assert {step.action for step in plan.nodes.values()} == {"keep"}
    assert f"plan web2: its document is not compared: {WHY}" in rack.said()
    rack.calls.clear()
    with pytest.raises(InputError, match="compose_secrets.key of 'web2' cannot be read"):
        rack.transaction().plan(Wish(), hold=True)
    assert not rack.called("stage", "switch")
    # Others are no worse off, and what runs can be verified.
    assert rack.transaction("web1").plan(Wish(), hold=True).settled
    assert verify(rack.engine(), "current").failed_nodes == []
