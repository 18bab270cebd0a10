# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments as inventory variables, and back from them."""

from __future__ import annotations

import datetime
import json
import typing as t
from dataclasses import replace

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe.hostvars import from_hostvars, to_hostvars
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment

from .test_deployment import read


def round_trip(deployment: Deployment, **more: dict[str, t.Any]) -> Deployment:
    """Through JSON, as ansible-inventory exports variables, in any order of hosts."""
    shared, own = json.loads(json.dumps(to_hostvars(deployment)))
    hostvars = {name: {**shared, **own[name], "ansible_user": "root"} for name in reversed(list(own))}
    return from_hostvars(deployment.name, {**more, **hostvars})


def test_variables_bring_the_deployment_back() -> None:
    plain = read({}).deployment
    assert round_trip(plain) == plain
    rich = read(
        {
            "platform": {"name": "machines", "memory": 700},
            "domain": "c.example.org",
            "setup": {"version": 2},
            "parameters": {"a": 1, "b": [1, {"c": None}]},
            "authorized_keys": ["ssh-rsa AAAA"],
            "may_fail": ["nightly-*", "backup.service"],
            "roles": {"node": {"count": 12, "parameters": {"a": None}, "secrets": {"s": "x"}}},
            "nodes": {"node7": {"address": "10.87.50.50", "options": {"memory": 1}}},
        }
    ).deployment
    # Secrets are read by the steps that need them, and by nobody else.
    assert round_trip(rich) == replace(rich, nodes=tuple(replace(node, secrets={}) for node in rich.nodes))


def test_nodes_carry_only_what_is_theirs() -> None:
    _shared, own = to_hostvars(read({"parameters": {"a": 1}, "roles": {"node": {"parameters": {"b": 2}}}}).deployment)
    assert own["server"] == {"compose_role": "server", "compose_index": 1, "compose_address": "10.87.128.1"}
    assert own["node"]["compose_node_parameters"] == {"b": 2}


def test_several_deployments_are_told_apart() -> None:
    deployment = read({}).deployment
    other = {"elsewhere": {"compose_deployment": "web", "compose_role": "proxy"}, "plain": {}}
    assert round_trip(deployment, **other) == deployment


def test_hosts_that_are_no_nodes_are_refused() -> None:
    with pytest.raises(InputError, match="no host of the inventory belongs to the deployment 'demo'"):
        from_hostvars("demo", {"a": {}})
    with pytest.raises(InputError, match="host 'a' lacks the variable 'compose_"):
        from_hostvars("demo", {"a": {"compose_deployment": "demo"}})


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("keep", "3", "variables compose_* of host 'node': deployment.keep is \"3\", expected a number"),
        ("at_most", {"x": {"nodes": ["node"], "count": "1"}}, 'deployment.at_most.x.count is "1", expected a number'),
        ("setup", {"day": datetime.date(2026, 1, 2)}, r'deployment.setup.day is "datetime.date(2026, 1, 2)", expected'),
        ("index", "first", "variables compose_* of host 'node': node.index is \"first\", expected a number"),
        ("options", {"memory": {"MiB": 512}}, "node.options.memory is an object, expected true or false, a number, "),
        ("node_parameters", ["a"], "node.parameters is a list, expected an object"),
        ("members", [{"nodes": "node"}], "compose_members[0].role is missing, expected a string"),
    ],
)
def test_variables_of_another_kind_are_named(variable: str, value: object, message: str) -> None:
    """As group_vars, host_vars or ``-e`` may say them."""
    shared, own = to_hostvars(read({}).deployment)
    hostvars = {name: {**shared, **held, f"compose_{variable}": value} for name, held in own.items()}
    with pytest.raises(InputError) as caught:
        from_hostvars("demo", hostvars)
    assert message in str(caught.value)
