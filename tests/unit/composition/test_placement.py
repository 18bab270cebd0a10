# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles on hosts of other inventory sources: which, with what options, and that a name leads to one machine."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe.deployment import Others
from ansible_collections.immutable.compose.plugins.module_utils.describe.placement import Reached

from .test_deployment import FILE, read, refused


def reached(host: str) -> Reached:
    return Reached("10.87.7.7", "ansible_host") if host == "rack1-a.example.org" else Reached(host)


OTHERS = Others(
    hosts={
        "rack1-a.example.org": {},
        "rack1-b.example.org": {},
        "Old_Box": {},
        "elsewhere": {"compose_role": "web"},
    },
    groups={"rack1": ["rack1-a.example.org", "rack1-b.example.org"], "old": ["Old_Box"], "web": ["elsewhere"]},
    reached=reached,
)


def test_roles_can_be_placed_on_hosts_of_other_sources() -> None:
    parsed = read({"roles": {"node": {"hosts": "rack1"}}}, OTHERS)
    assert [node.name for node in parsed.deployment.nodes] == ["rack1-a.example.org", "rack1-b.example.org", "server"]
    assert parsed.placed.keys() == {"rack1-a.example.org", "rack1-b.example.org"}
    # A host keeps the address that it has on the network of the deployment; else it gets one of its role's block.
    assert [node.address for node in parsed.deployment.nodes] == ["10.87.7.7", "10.87.0.2", "10.87.128.1"]


def test_options_come_from_the_variables_of_existing_hosts_where_role_and_node_say_nothing() -> None:
    hosts = {"a": {"rack_memory": "700", "rack_bridge": "br7"}, "b": {"rack_memory": 800}, "c": {}}
    others = Others(hosts, {"rack": list(hosts)})
    platform = {"name": "machines", "memory": 600, "bridge": "br0"}
    given: dict[str, t.Any] = {"platform": platform, "roles": {"node": {"hosts": "rack"}, "server": 0}}
    options = {node.name: node.options for node in read(given, others).deployment.nodes}
    assert options == {
        "a": {"memory": 700, "bridge": "br7"},
        "b": {"memory": 800, "bridge": "br0"},
        "c": {"memory": 600, "bridge": "br0"},
    }
    given["roles"]["node"]["options"] = {"bridge": "br1"}
    given["nodes"] = {"b": {"options": {"memory": 900}}}
    options = {node.name: node.options for node in read(given, others).deployment.nodes}
    assert options == {
        "a": {"memory": 700, "bridge": "br1"},
        "b": {"memory": 900, "bridge": "br1"},
        "c": {"memory": 600, "bridge": "br1"},
    }


@pytest.mark.parametrize("value", ["much", "-1", "1.5", 1.5, None, True, ["700"]])
def test_variables_of_existing_hosts_have_the_type_of_the_option(value: t.Any) -> None:
    message = refused({"roles": {"node": {"hosts": "a"}}}, Others({"a": {"rack_memory": value}}))
    assert f"roles.node.hosts: rack_memory of 'a': memory is {value!r}, expected int" in message


ELSEWHERE = Reached("192.0.2.1", "ansible_host")


def on_a_host(reached: Reached, **node: t.Any) -> tuple[dict[str, t.Any], Others]:
    """A deployment file with a role on the existing host ``a``, and what other sources say of that."""
    address = {key: node.pop(key) for key in ("address",) if key in node}
    variables = node.pop("held", {})
    roles = {"node": {"hosts": "a", **node}, "server": 0}
    return {"roles": roles, "nodes": {"a": address}}, Others({"a": variables}, reached=lambda _host: reached)


@pytest.mark.parametrize(
    ("reached", "node", "address"),
    [
        (ELSEWHERE, {}, "10.87.0.1"),
        (Reached("192.0.2.1", "ansible_ssh_host"), {"address": "10.87.0.9"}, "10.87.0.9"),
        (Reached("10.87.0.8", "ansible_host"), {"address": "10.87.0.9"}, "10.87.0.9"),
        (Reached("a.example.org", "ansible_host"), {}, "10.87.0.1"),
        (Reached("2001:db8::1", "ansible_host"), {"take_over": False}, "10.87.0.1"),
        (ELSEWHERE, {"held": {"rack_memory": 700}}, "10.87.0.1"),
    ],
)
def test_a_host_that_is_reached_elsewhere_is_refused(reached: Reached, node: dict[str, t.Any], address: str) -> None:
    message = refused(*on_a_host(reached, **node))
    assert message.startswith(f"{FILE}: roles.node.hosts: Ansible reaches 'a' at {reached.at} ({reached.variable})")
    assert f"platform 'machines' makes a machine for it, at {address}" in message
    assert "take_over: true" in message


@pytest.mark.parametrize(
    ("reached", "node"),
    [
        (Reached("a"), {}),
        (Reached("a", "ansible_host"), {}),
        (Reached("10.87.0.9", "ansible_host"), {}),
        (Reached("10.87.0.9", "ansible_host"), {"address": "10.87.0.9"}),
        (ELSEWHERE, {"held": {"rack_bridge": "br0"}}),  # the platform takes the host itself
    ],
)
def test_a_host_that_is_the_node_keeps_its_way(reached: Reached, node: dict[str, t.Any]) -> None:
    assert read(*on_a_host(reached, **node)).placed.keys() == {"a"}


def test_a_node_can_take_the_name_of_a_host_over() -> None:
    data, others = on_a_host(ELSEWHERE, take_over=True)
    parsed = read(data, others)
    assert ([node.name for node in parsed.deployment.nodes], set(parsed.placed)) == (["a"], set())
    message = refused(*on_a_host(Reached("192.0.2.1", "ansible_host", in_host_vars=True), take_over=True))
    assert (
        "192.0.2.1" in message and "host_vars have the last word on how it is reached: remove ansible_host" in message
    )
    assert "take_over is for a role on existing hosts" in refused({"roles": {"node": {"count": 1, "take_over": True}}})
    assert "roles.node.take_over is 'yes', expected true or false" in refused(*on_a_host(ELSEWHERE, take_over="yes"))


def test_placement_takes_words_in_order_and_each_host_once() -> None:
    hosts = ["rack1-b.example.org", "rack1"]
    placed = read({"roles": {"node": {"hosts": hosts}}}, OTHERS).deployment.nodes
    assert [node.name for node in placed[:2]] == ["rack1-b.example.org", "rack1-a.example.org"]
    first = read({"roles": {"node": {"hosts": "rack1", "count": 1}}}, OTHERS)
    assert first.placed.keys() == {"rack1-a.example.org"}


@pytest.mark.parametrize(
    ("role", "why"),
    [
        ({"hosts": "rack2"}, "is not a host or group of the sources read before this one; did you mean 'rack1'?"),
        ({"hosts": "old"}, "'Old_Box' cannot be a node"),
        ({"hosts": "web"}, "'elsewhere' is a node of another deployment already"),
        ({"hosts": "rack1", "count": 3}, "roles.node.count is 3, expected at most 2"),
        ({"hosts": "rack1", "count": ["a"]}, "roles.node.count is ['a']"),
        ({"hosts": "rack1", "names": ["a"]}, "expected no 'hosts' beside it"),
        ({"hosts": [1]}, "roles.node.hosts has 1"),
        (["elsewhere"], "the name 'elsewhere' is taken by a host of another inventory source"),
        (["rack1"], "the name 'rack1' is taken by a group of another inventory source"),
        (["localhost"], "the name 'localhost' is taken"),
    ],
)
def test_wrong_placement_is_refused(role: t.Any, why: str) -> None:
    assert why in refused({"roles": {"node": role}}, OTHERS)
