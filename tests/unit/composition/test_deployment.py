"""Deployment files: counts and names, addresses, settings, and refusals."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.builder import Debian
from ansible_collections.immutable.compose.plugins.module_utils.describe.deployment import (
    Others,
    Parsed,
    parse,
)
from ansible_collections.immutable.compose.plugins.module_utils.describe.hostvars import from_hostvars, to_hostvars
from ansible_collections.immutable.compose.plugins.module_utils.describe.options import Option
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Composition, Role
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Node
from ansible_collections.immutable.compose.plugins.module_utils.model.hooks import Hooks
from ansible_collections.immutable.compose.plugins.module_utils.platforms.base import Platform

FILE = "/site/demo.compose.yml"
DEFAULTS = {
    "platform": "machines",
    "builder": "debian",
    "network": "10.87.0.0/16",
    "keep": 3,
    "boot_timeout": 300,
    "verify_timeout": 1800,
    "stable_for": 15,
}


class Machines(Platform):
    """Known by its class attributes only: parsing never makes an instance."""

    name = "machines"
    formats = ("root",)
    options: t.ClassVar[t.Mapping[str, Option]] = {
        "memory": Option(int, 512, "MiB"),
        "bridge": Option(str, "", "name of the bridge"),
        "way": Option(str, "auto", "how to stage", choices=("auto", "import", "clone")),
    }
    host_variables: t.ClassVar[t.Mapping[str, str]] = {"memory": "rack_memory", "bridge": "rack_bridge"}

    @classmethod
    def makes_machine(cls, node: Node, known: t.Collection[str]) -> bool:
        return "bridge" not in known


def composition(**changes: t.Any) -> Composition:
    roles = {name: Role(name) for name in ("server", "node")}
    return Composition(
        **{"name": "nfs", "builder": "debian", "path": "/c/nfs", "digest": "d", "roles": roles, **changes}
    )


def read(data: t.Mapping[str, t.Any], others: Others | None = None, **changes: t.Any) -> Parsed:
    return parse({**DEFAULTS, **data}, composition(**changes), FILE, {"machines": Machines}, {"debian": Debian}, others)


def names(data: t.Mapping[str, t.Any], **changes: t.Any) -> dict[str, str]:
    return {node.name: node.role for node in read(data, **changes).deployment.nodes}


def refused(data: t.Mapping[str, t.Any], others: Others | None = None, **changes: t.Any) -> str:
    with pytest.raises(InputError) as caught:
        read(data, others, **changes)
    return str(caught.value)


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ({}, ["node", "server"]),
        ({"server": None}, ["node", "server"]),
        ({"server": 1}, ["node", "server1"]),
        ({"node": 3}, ["node1", "node2", "node3", "server"]),
        ({"node": "3"}, ["node1", "node2", "node3", "server"]),
        ({"node": 0}, ["server"]),
        ({"node": ["b", "a"]}, ["b", "a", "server"]),
        ({"node": {"count": 2}}, ["node1", "node2", "server"]),
        ({"node": {"names": ["x"]}}, ["x", "server"]),
        ({"node": {"variables": {"v": 1}}}, ["node", "server"]),
    ],
)
def test_counts_are_those_of_nixos_compose(roles: dict[str, t.Any], expected: list[str]) -> None:
    assert list(names({"roles": roles})) == expected


def test_distribution_of_the_composition_counts_where_the_file_says_nothing() -> None:
    assert list(names({}, distribution={"node": 2})) == ["node1", "node2", "server"]
    assert list(names({"roles": {"node": {"options": {"memory": 1}}}}, distribution={"node": ["a"]})) == ["a", "server"]
    assert list(names({"roles": {"node": 1}}, distribution={"node": 2})) == ["node1", "server"]


def test_deployment_has_what_the_file_says() -> None:
    deployment = read({"authorized_keys": ["ssh-ed25519 AAAA me@there"], "state_dir": "state", "keep": 5}).deployment
    assert deployment.name == "demo"
    assert (deployment.composition, deployment.builder, deployment.platform) == ("/c/nfs", "debian", "machines")
    assert deployment.state == "/site/state/demo"
    assert deployment.authorized_keys == ("ssh-ed25519 AAAA me@there",)
    assert (deployment.keep, deployment.boot_timeout, deployment.verify_timeout) == (5, 300, 1800)


def test_state_belongs_below_the_home_of_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read({}).deployment.state.endswith("/immutable-compose/demo")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/home/u/state")
    assert read({}).deployment.state == "/home/u/state/immutable-compose/demo"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/u")
    assert read({}).deployment.state == "/home/u/.local/state/immutable-compose/demo"


def test_narrower_settings_win() -> None:
    parsed = read(
        {
            "platform": {"name": "machines", "memory": 512, "bridge": "b0"},
            "parameters": {"size": 1, "who": "all"},
            "roles": {
                "node": {
                    "count": 2,
                    "variables": {"v": "role", "w": "role"},
                    "parameters": {"size": 2},
                    "secrets": {"key": "role"},
                    "options": {"memory": 1024},
                }
            },
            "nodes": {
                "node2": {
                    "variables": {"v": "node"},
                    "parameters": {"size": 3},
                    "secrets": {"key": "node"},
                    "options": {"memory": 2048},
                }
            },
        }
    )
    node1, node2, server = parsed.deployment.nodes
    assert [node.options["memory"] for node in (server, node1, node2)] == [512, 1024, 2048]
    assert node2.options["bridge"] == "b0"
    assert [node.parameters for node in (server, node1, node2)] == [{"size": size, "who": "all"} for size in (1, 2, 3)]
    assert [dict(node.secrets) for node in (server, node1, node2)] == [{}, {"key": "role"}, {"key": "node"}]
    assert parsed.variables == {"node1": {"v": "role", "w": "role"}, "node2": {"v": "node", "w": "role"}}


def addresses(data: t.Mapping[str, t.Any], **changes: t.Any) -> dict[str, str | None]:
    return {node.name: node.address for node in read(data, **changes).deployment.nodes}


def test_each_role_has_a_block_of_the_network() -> None:
    roles = {name: Role(name) for name in ("c", "a", "b")}
    found = addresses({"roles": {"a": 2, "b": 257}}, roles=roles)
    assert (found["a1"], found["a2"]) == ("10.87.0.1", "10.87.0.2")
    assert (found["b1"], found["b256"], found["b257"]) == ("10.87.85.1", "10.87.86.0", "10.87.86.1")
    assert found["c"] == "10.87.170.1"


def test_counts_move_no_address() -> None:
    few, many = (addresses({"roles": {"node": count, "server": 1}}) for count in (1, 500))
    assert few.items() <= many.items()
    none = addresses({"roles": {"node": 0, "server": 1}})
    assert none["server1"] == many["server1"]


def test_small_networks_are_divided_as_they_can() -> None:
    assert addresses({"network": "192.168.1.0/28"}) == {"node": "192.168.1.1", "server": "192.168.1.9"}
    message = refused({"network": "192.168.1.0/28", "roles": {"node": 6}})
    assert "role 'node' has more nodes than its block of 192.168.1.0/28 has addresses (5)" in message


def test_explicit_addresses_win() -> None:
    assert addresses({"nodes": {"server": {"address": "10.87.3.3"}}})["server"] == "10.87.3.3"
    # also over an address that would have been another node's, as long as that one has its own, too
    nodes = {"node1": {"address": "10.87.0.2"}, "node2": {"address": "10.87.0.1"}}
    found = addresses({"roles": {"node": 2}, "nodes": nodes})
    assert (found["node1"], found["node2"]) == ("10.87.0.2", "10.87.0.1")


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("10.88.0.1", "'10.88.0.1', expected a free address of 10.87.0.0/16"),
        ("10.87.0.0", "kept for"),
        ("10.87.255.254", "kept for"),
        ("10.87.255.255", "kept for"),
        ("10.87.0.1/16", "expected a free address"),
        (5, "nodes.server.address is 5, expected"),
    ],
)
def test_wrong_addresses_are_refused(address: t.Any, why: str) -> None:
    assert why in refused({"nodes": {"server": {"address": address}}})


def test_the_same_address_twice_is_refused() -> None:
    nodes = {name: {"address": "10.87.9.9"} for name in ("node", "server")}
    assert "the address 10.87.9.9 of node 'server' is taken by node 'node'" in refused({"nodes": nodes})


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"name": "Demo_1"}, "name: invalid name 'Demo_1', expected lower-case letters"),
        ({"platform": "machine"}, "platform is 'machine', expected a known platform; did you mean 'machines'?"),
        ({"platform": None}, "platform is None, expected a known platform; valid: machines"),
        ({"platform": ["machines"]}, "platform is ['machines']"),
        ({"platform": {"name": "machines", "memori": 1}}, "unknown option 'memori'"),
        ({"platform": {"name": "machines", "memory": "1G"}}, "memory is '1G', expected int"),
        ({"platform": {"name": "machines", "memory": True}}, "memory is True, expected int"),
        (
            {"platform": {"name": "machines", "way": "cloen"}},
            "platform: way is 'cloen', expected a known word; did you mean 'clone'?",
        ),
        (
            {"roles": {"node": {"options": {"way": "x"}}}},
            "way is 'x', expected a known word; valid: auto, clone, import",
        ),
        ({"network": "10.87.0.1/16"}, "network is '10.87.0.1/16', expected an IPv4 network"),
        ({"network": "fd00::/64"}, "network is 'fd00::/64', expected an IPv4 network"),
        ({"network": 10}, "network is 10, expected an IPv4 network"),
        ({"parameters": {"when": object()}}, "parameters.when is of type object, expected plain data"),
        ({"parameters": {"a": [{1: 2}]}}, "parameters.a[0] has the key 1, expected a string"),
        ({"roles": [1]}, "roles is [1], expected a mapping"),
        ({"roles": {"nodes": 2}}, "roles: 'nodes' is not a role of the composition; did you mean 'node'?"),
        ({"roles": {"node": -1}}, "roles.node.count is -1, expected a count (0 to 100000)"),
        ({"roles": {"node": "-1"}}, "roles.node.count is '-1', expected a count"),
        ({"roles": {"node": True}}, "roles.node.count is True, expected a count"),
        ({"roles": {"node": 1.5}}, "roles.node.count is 1.5, expected a count"),
        ({"roles": {"node": "many"}}, "roles.node.count is 'many', expected a count"),
        ({"roles": {"node": ["a", "a"]}}, "the name 'a' is used twice, by role 'node' and role 'node'"),
        ({"roles": {"node": ["server"]}}, "the name 'server' is used twice, by role 'node' and role 'server'"),
        ({"roles": {"node": ["node_1"]}}, "roles.node.names: invalid name 'node_1'"),
        ({"roles": {"node": [1]}}, "roles.node.names: invalid name 1"),
        ({"roles": {"node": {"cont": 2}}}, "roles.node: 'cont' is not a key of a role; did you mean 'count'?"),
        (
            {"roles": {"node": {"count": 3, "names": ["a", "b"]}}},
            "count is 3, expected at most 2, the number of 'names'",
        ),
        ({"roles": {"node": {"count": ["a"]}}}, "roles.node.count is ['a'], expected a count"),
        ({"roles": {"node": {"names": 2}}}, "roles.node.names is 2, expected a list of host names"),
        ({"roles": {"node": {"options": {"cpu": 2}}}}, "roles.node.options: unknown option 'cpu'"),
        ({"roles": {"node": {"options": 3}}}, "roles.node.options is 3, expected a mapping"),
        ({"roles": {"node": {"variables": {"a-b": 3}}}}, "'a-b' is not a valid variable name"),
        ({"roles": {"node": {"secrets": {"pin": 1234}}}}, "secrets.pin is of type int, expected a string"),
        ({"nodes": {"node9": {}}}, "nodes: 'node9' is not a node of the deployment; did you mean 'node'?"),
        ({"nodes": {"node": {"adress": "x"}}}, "nodes.node: 'adress' is not a key of a node; did you mean 'address'?"),
        ({"nodes": {"node": "10.87.0.9"}}, "nodes.node is '10.87.0.9', expected a mapping"),
        ({"authorized_keys": "ssh-ed25519 AAAA"}, "expected a list of OpenSSH public keys"),
        ({"authorized_keys": ["-----BEGIN OPENSSH PRIVATE KEY-----"]}, "expected OpenSSH public keys"),
        ({"adopt_data": ["nod"]}, "adopt_data: 'nod' is not a node of the deployment; did you mean 'node'?"),
        ({"adopt_data": "node"}, "adopt_data is 'node', expected a list of nodes"),
        ({"keep": 0}, "keep is 0, expected a whole number, 1 or more"),
        ({"boot_timeout": -1}, "boot_timeout is -1"),
        ({"stable_for": -1}, "stable_for is -1"),
        ({"may_fail": "backup.service"}, "may_fail is 'backup.service', expected a list of units"),
        ({"may_fail": ["a b"]}, "may_fail has 'a b', expected names of units such as backup.service or backup-*"),
        ({"hooks": {"drains": "a.yml"}}, "hooks: 'drains' is not a hook; did you mean 'drain'?"),
        ({"hooks": {"drain": "a.yml"}}, "hooks.drain is 'a.yml', expected a file with tasks: there is no /site/a.yml"),
        ({"may_fail": [3]}, "may_fail has 3, expected names of units"),
    ],
)
def test_wrong_input_is_refused(data: dict[str, t.Any], why: str) -> None:
    message = refused(data)
    assert message.startswith(FILE)
    assert why in message


def test_secrets_are_not_told() -> None:
    assert "1234" not in refused({"roles": {"node": {"secrets": {"pin": 1234}}}})


def test_what_the_composition_has_wrong_is_refused() -> None:
    assert "/c/nfs: name of the composition: invalid name 'NFS!'" in refused({}, name="NFS!")
    assert "/c/nfs: rolesDistribution.node is -2" in refused({}, distribution={"node": -2})


def test_a_distribution_that_names_no_role_is_overruled_by_who_says_what_it_meant() -> None:
    said = "/c/nfs: rolesDistribution: 'nodes' is not a role of the composition (it is passed over where"
    for distribution, roles in (
        ({"nodes": 2}, {}),
        ({"nodes": 2}, {"roles": {"node": 2}}),  # it may have meant the server
        ({"nodes": 2, "server": 1}, {"roles": {"server": 1}}),
        ({"nodes": 2, "server": 1}, {"roles": {"node": {"options": {"memory": 1}}}}),
        ({"nodes": 2, "server": 1, "node": 1}, {}),
        ({"nodes": 2, "server": 1, "node": 1}, {"roles": {"node": 1}}),
    ):
        assert said in refused(roles, distribution=distribution)
    words = f"in {FILE} says which nodes there are of node); did you mean 'node'?"
    assert words in refused({}, distribution={"nodes": 2, "server": 1})
    assert list(names({"roles": {"node": 1}}, distribution={"nodes": 2, "server": ["s"]})) == ["node1", "s"]
    both = {"roles": {"node": 1, "server": ["a"]}}
    for distribution in ({"nodes": 2}, {"nodes": 2, "node": 5}, {"nodes": -1, "x": 1, "server": 1, "node": 1}):
        assert list(names(both, distribution=distribution)) == ["node1", "a"]


def test_names_that_are_no_labels() -> None:
    roles = {name: Role(name) for name in ("examon_broker", "webServer", "gamma.tld")}
    assert names({"roles": {"webServer": 2}}, roles=roles) == {
        "examon-broker": "examon_broker",
        "webserver1": "webServer",
        "webserver2": "webServer",
        "gamma-tld": "gamma.tld",
    }
    assert list(names({"roles": {"my_role": ["fine"]}}, roles={"my_role": Role("my_role")})) == ["fine"]
    distribution = {"node": ["Node_A", "b"]}
    assert list(names({}, roles={"node": Role("node")}, distribution=distribution)) == ["node-a", "b"]
    assert "invalid name 'node_1', expected lower-case letters" in refused({"roles": {"node": ["node_1"]}})
    assert "; for example 'node-1'" in refused({"roles": {"node": ["node_1"]}})


def test_names_that_cannot_be_made() -> None:
    roles = {"a_b": Role("a_b"), "a.b": Role("a.b")}
    message = refused({}, roles=roles)
    for word in ("the name 'a-b' is used twice", "'a_b'", "'a.b'", "'roles: {a_b: [NAME]}' in /site/demo.compose.yml"):
        assert word in message
    long = "x" * 63
    assert f"'roles: {{{long}: [NAME]}}' in the deployment file" in refused(
        {"roles": {long: 2}}, roles={long: Role(long)}
    )


def test_domain() -> None:
    assert read({"domain": "c.example.org"}).deployment.domain == "c.example.org"
    assert read({}).deployment.domain == ""
    others = Others({"n1.c.org": {}}, {"all": ["n1.c.org"]})
    twice = {"domain": "c.org", "roles": {"node": ["n1"], "server": {"hosts": "n1.c.org"}}}
    with pytest.raises(InputError, match="domain: nodes 'n1' and 'n1.c.org' would both be 'n1.c.org'"):
        read(twice, others)
    for wrong in ("Example.org", "a..b", "10.0.0.1", 7, "a b", ".org", "org.", "x" * 64, ["a"]):
        assert "domain is " in refused({"domain": wrong})


def test_roles_without_a_kernel_need_containers() -> None:
    roles = {"node": Role("node", bootable=False)}
    said = refused({}, roles=roles)
    assert "the role has no kernel, but platform 'machines' boots one: give the role a 'kernel'" in said
    assert names({"roles": {"node": 0}}, roles=roles) == {}


def test_hooks_are_files_beside_the_deployment_file(tmp_path: Path) -> None:
    (tmp_path / "drain.yml").write_text("- debug:\n")
    path = str(tmp_path / "site.compose.yml")
    data = {**DEFAULTS, "hooks": {"drain": "drain.yml"}}
    deployment = parse(data, composition(), path, {"machines": Machines}, {"debian": Debian}).deployment
    assert deployment.hooks == Hooks(drain=str(tmp_path / "drain.yml"))
    shared, own = to_hostvars(deployment)
    back = from_hostvars(deployment.name, {name: {**shared, **each} for name, each in own.items()})
    assert back.hooks == deployment.hooks
    assert "compose_hooks" not in to_hostvars(read({}).deployment)[0]
