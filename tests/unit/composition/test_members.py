# SPDX-License-Identifier: GPL-3.0-or-later
"""Members of a deployment as data that every host carries."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe.hostvars import from_hostvars, to_hostvars
from ansible_collections.immutable.compose.plugins.module_utils.describe.members import from_members, to_members
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node

COUNTED = tuple(Node(f"web{index}", "web", index, f"10.87.0.{index}") for index in range(1, 101))


@pytest.mark.parametrize(
    ("nodes", "entries"),
    [
        (COUNTED, 1),
        ([*COUNTED, Node("db", "db", 1, "10.87.128.1")], 2),
        ([Node("node09", "node", 9, "10.87.0.9"), Node("node10", "node", 10, "10.87.0.10")], 2),
        ([Node("a1b", "node", 1, "10.87.0.9"), Node("a2b", "node", 2, "10.87.0.10")], 1),
        ([Node("a1", "node", 1, "10.87.0.9"), Node("a2", "node", 2, "10.87.0.11")], 2),
        ([Node("a1", "node", 1, "10.87.0.9"), Node("a2", "node", 2, "10.87.0.10", options={"memory": 1})], 2),
        ([Node("a1", "node", 1), Node("a2", "node", 2)], 2),
        ([Node("a1", "node", 1, "10.87.0.9", address_given=True), Node("a2", "node", 2, "10.87.0.10")], 2),
        ([Node("n1.example.org", "node", 1, "10.87.0.9"), Node("n2.example.org", "node", 2, "10.87.0.10")], 1),
        ([Node("a1", "node", 1, "10.87.0.9"), Node("a2", "other", 1, "10.87.0.10")], 2),
        ([Node("a9", "node", 9, "10.87.0.9"), Node("a10", "node", 10, "10.87.0.10")], 1),
    ],
)
def test_nodes_that_count_on_are_one_entry_and_all_come_back(nodes: list[Node], entries: int) -> None:
    data = json.loads(json.dumps(to_members(nodes)))
    assert len(data) == entries
    assert from_members(data) == list(nodes)


def test_what_only_the_host_knows_does_not_travel() -> None:
    node = Node("a", "node", 1, "10.87.0.1", parameters={"x": 1}, secrets={"password": "p"})
    assert from_members(to_members([node])) == [replace(node, parameters={}, secrets={})]


def test_members_whose_hosts_are_missing_are_members() -> None:
    deployment = Deployment("site", "/composition", "debian", "nspawn", COUNTED, parameters={"x": 1})
    shared, own = to_hostvars(deployment)
    hostvars = {name: {**shared, **own[name]} for name in ("web7", "web50")}
    found = from_hostvars("site", hostvars)
    assert [node.name for node in found.nodes] == [node.name for node in COUNTED]
    assert found.node("web7").parameters == {"x": 1}
    assert found.node("web8") == COUNTED[7]


def test_a_host_that_is_no_member_is_refused() -> None:
    shared, own = to_hostvars(Deployment("site", "/composition", "debian", "nspawn", COUNTED))
    with pytest.raises(InputError, match="host 'stranger' has the variables of deployment 'site'"):
        from_hostvars("site", {"stranger": {**shared, **own["web1"]}})


@pytest.mark.parametrize("data", [[{}], ["web1"], [{"nodes": 1}], 5, [{"nodes": "a[1:2]", "role": "r", "index": "x"}]])
def test_other_data_is_refused(data: object) -> None:
    with pytest.raises(InputError, match="compose_members"):
        from_members(data)
