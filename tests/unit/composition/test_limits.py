# SPDX-License-Identifier: GPL-3.0-or-later
"""``at_most`` of a deployment file: roles, groups of other sources, nodes named one by one; and what is refused."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe.deployment import Others
from ansible_collections.immutable.compose.plugins.module_utils.describe.hostvars import from_hostvars, to_hostvars
from ansible_collections.immutable.compose.plugins.module_utils.model.codec import decode, encode
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Limit

from .test_deployment import read, refused

OTHERS = Others({"a": {}, "b": {}, "c": {}, "other": {}}, {"rack": ["c", "a", "other"], "rest": ["other"]})
DATA: dict[str, t.Any] = {"roles": {"node": {"hosts": ["a", "b", "c"]}, "server": 2}}


def limits(**at_most: t.Any) -> t.Mapping[str, Limit]:
    return read({**DATA, "at_most": at_most}, OTHERS).deployment.at_most


def test_roles_groups_and_named_nodes() -> None:
    pair = {"nodes": ["server2", "a", "server2"], "count": 2}
    assert limits(server=1, rack=1, pair=pair) == {
        "server": Limit(("server1", "server2"), 1),
        "rack": Limit(("a", "c"), 1),
        "pair": Limit(("server2", "a"), 2),
    }
    assert read(DATA, OTHERS).deployment.at_most == {}


def test_a_role_may_have_no_nodes() -> None:
    assert read({"roles": {"node": 0}, "at_most": {"node": 1}}).deployment.at_most == {"node": Limit((), 1)}


@pytest.mark.parametrize(
    ("at_most", "why"),
    [
        (3, "at_most is 3, expected a mapping"),
        ({"sever": 1}, "at_most: 'sever' is neither a role of the composition nor a group of the sources"),
        ({"sever": 1}, "; did you mean 'server'?"),
        ({"rest": 1}, "at_most: no host of the group 'rest' is a node of the deployment"),
        ({"server": 0}, "at_most.server is 0, expected a whole number, 1 or more"),
        ({"server": "1"}, "at_most.server is '1', expected a whole number, 1 or more"),
        ({"server": True}, "at_most.server is True, expected a whole number, 1 or more"),
        ({"server": None}, "at_most.server is None, expected a whole number, 1 or more"),
        (
            {"x": {"nodes": ["a", "server9"], "count": 1}},
            "at_most.x.nodes: 'server9' is not a node of the deployment; did",
        ),
        ({"x": {"nodes": ["other"], "count": 1}}, "at_most.x.nodes: 'other' is not a node of the deployment"),
        ({"x": {"nodes": ["a"]}}, "at_most.x.count is None, expected a whole number, 1 or more"),
        ({"x": {"nodes": "a", "count": 1}}, "at_most.x.nodes is 'a', expected a list of nodes"),
        ({"x": {"nodes": [], "count": 1}}, "at_most.x.nodes is [], expected a list of nodes"),
        ({"x": {"nodes": [["a"]], "count": 1}}, "at_most.x.nodes is [['a']], expected a list of nodes"),
        ({"x": {"node": ["a"], "count": 1}}, "at_most.x: 'node' is not a key of a limit; did you mean 'nodes'?"),
    ],
)
def test_wrong_limits_are_refused(at_most: t.Any, why: str) -> None:
    assert why in refused({**DATA, "at_most": at_most}, OTHERS)


def test_limits_travel() -> None:
    deployment = read({**DATA, "at_most": {"server": 1}}, OTHERS).deployment
    shared, own = json.loads(json.dumps(to_hostvars(deployment)))
    assert from_hostvars("demo", {name: {**shared, **held} for name, held in own.items()}).at_most == deployment.at_most
    assert decode(Deployment, json.loads(json.dumps(encode(deployment))), "deployment").at_most == deployment.at_most
