"""Role distributions and deployment files of NixOS Compose: every form that it, or its users, have."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.plugin_utils.nxc_distribution import with_distribution

from .conftest import Site

VM = {
    "ssh_key.pub": "ssh-rsa AAAA alice@laptop",
    "deployment": {
        "192.168.1.1": {"role": "node", "host": "node1", "vm_id": 1, "toplevel": "/nix/store/a"},
        "192.168.1.2": {"role": "node", "host": "blue", "vm_id": 2, "toplevel": "/nix/store/a"},
        "192.168.1.3": {"role": "server", "host": "server", "vm_id": 3, "init": "/nix/store/b/init"},
    },
    "all": {"kernel": "/nix/store/k"},
    "composition": "composition",
    "user": "alice",
}
DOCKER = {
    "parameters": {"threads": 4},
    "nodes": ["node1", "server"],
    "deployment": {"node1": {"role": "node"}, "server": {"role": "server"}},
    "docker-compose-file": "artifact/composition/docker/docker-compose.json",
}
ROLES = ("node", "server")


def read(directory: Path, text: t.Any, extension: str = ".yaml", **options: t.Any) -> t.Any:
    """``roles`` and ``nodes`` of a deployment file that names a file with this content."""
    (directory / f"given{extension}").write_text(text if isinstance(text, str) else json.dumps(text))
    path = str(directory / "demo.compose.yml")
    return with_distribution({"distribution": f"given{extension}", **options}, ROLES, path)


@pytest.mark.parametrize(
    ("text", "extension", "expected"),
    [
        ("", ".yaml", None),
        ("node: 2", ".yaml", 2),
        ("node: '3'", ".yml", 3),
        ("node: 1", ".yaml", 1),
        ("node: 0", ".yaml", 0),
        ("node: [foo, bar]", ".yaml", ["foo", "bar"]),
        ("node:\n- foo\n- bar", ".yaml", ["foo", "bar"]),
        ("node: foo", ".yaml", ["foo"]),
        ("node: foo,bar", ".yaml", ["foo", "bar"]),
        ("node: !DefaultRole 1", ".yaml", ["node"]),
        ("node: !DefaultRole 2", ".yaml", 2),
        ("node:", ".yaml", None),
        ('{"node": 2}', ".json", 2),
        ('{"node": "2"}', ".json", 2),
        ('{"node": ["foo"]}', ".json", ["foo"]),
    ],
)
def test_forms_of_a_role_distribution(tmp_path: Path, text: str, extension: str, expected: t.Any) -> None:
    assert read(tmp_path, text, extension)["roles"].get("node") == expected


def test_a_deployment_file_gives_names_and_addresses(site: Site) -> None:
    (site.directory / "given.json").write_text(json.dumps(VM))
    data = site.list(site.write("distribution: given.json\nnetwork: 192.168.1.0/24\n")).data
    assert (sorted(data["role_node"]["hosts"]), data["role_server"]["hosts"]) == (["blue", "node1"], ["server"])
    addresses = {name: held["compose_address"] for name, held in data["_meta"]["hostvars"].items()}
    assert addresses == {"node1": "192.168.1.1", "blue": "192.168.1.2", "server": "192.168.1.3"}


def test_a_deployment_file_of_docker_gives_names(tmp_path: Path) -> None:
    found = read(tmp_path, DOCKER, ".json")
    assert (found["roles"], found["nodes"]) == ({"node": ["node1"], "server": ["server"]}, {})


def test_the_deployment_file_itself_wins(tmp_path: Path) -> None:
    roles = {"node": {"names": ["red"]}, "server": {"options": {"memory": 300}}}
    found = read(tmp_path, VM, ".json", roles=roles, nodes={"server": {"address": "192.168.1.9"}})
    assert found["roles"] == {"node": {"names": ["red"]}, "server": {"options": {"memory": 300}, "names": ["server"]}}
    assert found["nodes"] == {"server": {"address": "192.168.1.9"}}


def test_without_one_nothing_changes(tmp_path: Path) -> None:
    options = {"distribution": None, "roles": {"node": 2}, "nodes": {}}
    assert with_distribution(options, ROLES, str(tmp_path / "demo.compose.yml")) == options


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nodes: 2", "demo.compose.yml says which nodes there are of node, server); did you mean 'node'?"),
        ("node: -1", "node is -1, expected a count"),
        ("node: 1.5", "node is 1.5, expected a count"),
        ("node: true", "node is True, expected a count"),
        ("node: {count: 2}", "expected a count"),
        ("node: ['!']", "'!' gives no name for a node"),
        ("node: !DefaultRole many", "!DefaultRole 'many'"),
        ("node: !Other 1", "could not determine a constructor for the tag '!Other'"),
        ("node: 1\nnode: 2", "the key 'node' is there twice"),
        ("[node]", "expected a mapping of roles, or a deployment file of NixOS Compose"),
        ("node: [", "cannot be read"),
        ("deployment: {192.168.1.1: {host: node1}}", "deployment.192.168.1.1: role is None"),
        ("deployment: {192.168.1.1: {role: worker, host: node1}}", "'worker' is not a role of the composition"),
    ],
)  # fmt: skip
def test_refusals_name_file_key_and_value(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, text)
    assert message in str(error.value) and "given.yaml" in str(error.value)


def test_a_name_that_is_no_role_is_overruled_by_who_says_what_it_meant(tmp_path: Path) -> None:
    assert read(tmp_path, "nodes: 2\nserver: [s]", roles={"node": 3}) == read(
        tmp_path, "server: [s]", roles={"node": 3}
    )
    worker = {"deployment": {"192.168.1.1": {"role": "worker", "host": "worker1"}}}
    with pytest.raises(InputError, match=r"demo.compose.yml says which nodes there are of node, server\)"):
        read(tmp_path, worker, roles={"node": 3})
    assert read(tmp_path, worker, roles={"node": 3, "server": 0})["roles"] == {"node": 3, "server": 0}


def test_an_inventory_that_overrules_a_distribution(site: Site) -> None:
    (site.directory / "given.json").write_text(json.dumps({"clients": 2}))
    head = "distribution: given.json\nroles:\n"
    assert "'clients' is not a role of the composition" in " ".join(
        site.list(site.write(head + "  node: 1\n")).message.split()
    )
    data = site.list(site.write(head + "  node: 1\n  server: [one]\n")).data
    assert set(data["_meta"]["hostvars"]) == {"node1", "one"}


def test_names_beside_it_are_looked_at_first(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"demo.compose.yml: roles.server.names: invalid name \['a'\], expected"):
        read(tmp_path, VM, ".json", roles={"server": [["a"]]})


def test_an_address_outside_of_the_network_is_refused(site: Site) -> None:
    (site.directory / "given.json").write_text(json.dumps(VM))
    said = site.list(site.write("distribution: given.json\n")).message
    assert "is '192.168.1.1', expected a free address of 10.87.0.0/16" in " ".join(said.split())


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere.yaml: cannot be read"):
        with_distribution({"distribution": "nowhere.yaml"}, ROLES, str(tmp_path / "demo.compose.yml"))
