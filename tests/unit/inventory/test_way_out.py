"""Without its composition, a deployment has the nodes of its current release: by the real ``ansible-inventory``."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

from .conftest import Listed, Site

RELEASE: dict[str, t.Any] = {
    "schema": "immutable.compose/release/1",
    "number": 4,
    "deployment": "demo",
    "composition": "0",
    "revision": None,
    "images": {"server": "s", "node": "n"},
    "nodes": {"files": "server", "node1": "node", "node2": "node", "node10": "node"},
    "ports": {"server": [2049], "node": [], "spare": []},
    "test_script": "",
    "created": "2026-01-01T00:00:00Z",
    "places": {
        "files": {"index": 1, "address": "10.87.9.9"},
        "node1": {"index": 1, "address": "10.87.0.1"},
        "node2": {"index": 2, "address": "10.87.0.2"},
        "node10": {"index": 10, "address": "10.87.0.10"},
    },
    "composition_name": "nfs",
}


@pytest.fixture
def released(site: Site, tmp_path: Path) -> t.Callable[..., Path]:
    """Writes a deployment file that has a release, and takes its composition away."""

    def write(more: str = "", *, keep: bool = False, **changes: t.Any) -> Path:
        releases = tmp_path / "state" / "demo" / "releases"
        releases.mkdir(parents=True)
        (releases / "4.json").write_text(json.dumps({**RELEASE, **changes}))
        (releases / "current").write_text("4")
        source = site.write(f"state_dir: ../state\n{more}\n")
        if not keep:
            (site.composition / "composition.json").unlink()
        return source

    return write


def hosts(listed: Listed) -> dict[str, dict[str, t.Any]]:
    assert listed.returncode == 0, listed.stderr
    found: dict[str, dict[str, t.Any]] = json.loads(listed.stdout)["_meta"]["hostvars"]
    return found


def test_nodes_are_those_of_the_release(site: Site, released: t.Callable[..., Path]) -> None:
    listed = site.list(released("roles: {node: 1, server: [files]}"))
    found = hosts(listed)
    assert {
        name: (held["compose_role"], held["compose_index"], held["compose_address"]) for name, held in found.items()
    } == {
        "files": ("server", 1, "10.87.9.9"),
        "node1": ("node", 1, "10.87.0.1"),
        "node2": ("node", 2, "10.87.0.2"),
        "node10": ("node", 10, "10.87.0.10"),
    }
    data = json.loads(listed.stdout)
    assert set(data["composition_nfs"]["children"]) == {"deployment_demo"}
    group = data["deployment_demo"]["vars"]
    assert group["compose_from_release"] == 4
    assert "nfs/composition.json: no such" in group["compose_broken"]
    for word in (
        "[WARNING]",
        "demo.compose.yml",
        "composition.json: no such",
        "nodes of release 4",
        "verify, rollback",
    ):
        assert word in listed.stderr


def test_what_the_file_says_of_nodes_still_holds(site: Site, released: t.Callable[..., Path]) -> None:
    more = """
roles:
  node: {count: 7, variables: {rack: left}, parameters: {quota: 1}}
  cache: {count: 2}
nodes:
  node2: {variables: {rack: right}, address: 10.87.200.1}
  node7: {variables: {rack: none}}
at_most:
  cache: 1
  node: 2
  pair: {nodes: [node1, node7], count: 1}
  last: {nodes: [node7], count: 1}
"""
    listed = site.list(released(more))
    found = hosts(listed)
    assert set(found) == set(RELEASE["nodes"])
    assert (found["node1"]["rack"], found["node2"]["rack"]) == ("left", "right")
    assert found["node2"]["compose_address"] == "10.87.0.2"
    assert found["node1"]["compose_node_parameters"] == {"quota": 1}
    limits = json.loads(listed.stdout)["deployment_demo"]["vars"]["compose_at_most"]
    assert {name: limit["nodes"] for name, limit in limits.items()} == {
        "node": ["node1", "node2", "node10"],
        "pair": ["node1"],
    }


def test_records_of_earlier_versions(site: Site, released: t.Callable[..., Path], tmp_path: Path) -> None:
    source = released()
    record = {key: value for key, value in RELEASE.items() if key not in ("places", "composition_name")}
    (tmp_path / "state/demo/releases/4.json").write_text(json.dumps(record))
    found = hosts(site.list(source))
    assert {name: held["compose_index"] for name, held in found.items()} == {
        "files": 1,
        "node1": 1,
        "node2": 2,
        "node10": 3,
    }


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"schema": "immutable.compose/composition/9"}', "\xff\xfe"],
    ids=["truncated", "list", "schema", "bytes"],
)
def test_a_composition_that_cannot_be_read(site: Site, released: t.Callable[..., Path], text: str) -> None:
    source = released()
    (site.composition / "composition.json").write_bytes(text.encode("latin-1"))
    assert set(hosts(site.list(source))) == set(RELEASE["nodes"])


def test_a_composition_that_does_not_evaluate(site: Site, released: t.Callable[..., Path]) -> None:
    source = released()
    source.write_text(source.read_text().replace("nfs/composition.json", "nfs"))
    (site.composition / "composition.nix").write_text("{ ... }:\n{\n  roles.node = { packages = [ missing ]; };\n}\n")
    listed = site.list(source)
    assert set(hosts(listed)) == set(RELEASE["nodes"])
    assert "undefined variable 'missing'" in listed.stderr


def test_a_composition_that_lost_a_role(site: Site, released: t.Callable[..., Path]) -> None:
    source = released("roles: {spare: 0}", keep=True)
    listed = site.list(source)
    assert set(hosts(listed)) == set(RELEASE["nodes"])
    assert "'spare' is not a role of the composition" in listed.stderr


@pytest.mark.parametrize("keep", [True, False], ids=["evaluates", "gone"])
@pytest.mark.parametrize("more", ["roles: {node: -1}", "platfrom: qemu", "keep: few", "authorized_keys: [secret]"])
def test_mistakes_of_the_file_itself_stay_errors(
    site: Site, released: t.Callable[..., Path], more: str, keep: bool
) -> None:
    message = site.list(released(more, keep=keep)).message
    assert "demo.compose.yml: " in message
    assert "goes on without" not in message


def test_a_typo_in_the_file_is_none_of_the_composition(site: Site, released: t.Callable[..., Path]) -> None:
    assert "did you mean 'node'?" in site.list(released("roles: {nodes: 2}", keep=True)).message


def test_without_a_release_the_error_stays(site: Site) -> None:
    source = site.write("\nroles: {node: 2, server: 1}\nstate_dir: ../state\n")
    (site.composition / "composition.json").unlink()
    assert "composition.json: no such" in site.list(source).message


def test_a_release_that_cannot_be_read_is_named(site: Site, released: t.Callable[..., Path], tmp_path: Path) -> None:
    source = released()
    (tmp_path / "state/demo/releases/4.json").write_text("")
    message = site.list(source).message
    assert "composition.json: no such" in message
    assert "The current release in" in message


def test_a_state_on_another_host(site: Site) -> None:
    """It cannot be read here; the deployment file may suffice."""
    source = site.write("\nroles: {node: 2, server: [files]}\n")
    (site.composition / "composition.json").unlink()
    variables = site.directory / "group_vars"
    variables.mkdir()
    (variables / "immutable.yml").write_text("compose_host: builder\n")
    listed = site.list(source)
    assert set(hosts(listed)) == {"node1", "node2", "files"}
    assert "with the nodes that the deployment file lists" in listed.stderr
    source.write_text(source.read_text().replace("server: [files]", "server: null"))
    assert "Nor do its nodes follow from" in site.list(source).message


def test_a_script_with_a_typo_is_none_of_the_inventorys_business(site: Site) -> None:
    assert "node" in site.list(site.write(test_script="start_all(")).data["role_node"]["hosts"]


def test_a_broken_file_does_not_hide_its_neighbours(site: Site) -> None:
    site.write("network: 10.88.0.0/16\n", file="a.compose.yml")
    site.write("roles: {nodes: 1}\n", file="b.compose.yml")
    (site.directory / "c.compose.yml").write_text("roles: [\n")
    listed = site.list(site.directory, ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED="false")
    assert set(hosts(listed)) == {"node", "server"}
    last = listed.stderr.strip().splitlines()[-1]
    assert (
        last.startswith("[ERROR]: left out of the inventory: ")
        and "b.compose.yml: roles: 'nodes' is not a role" in last
    )
    strict = site.list(site.directory / "b.compose.yml").message
    assert "'nodes' is not a role" in strict.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("write", "why"),
    [
        ({"x.compose.yml": "roles: [\n"}, "x.compose.yml: cannot be read: "),
        ({"x.compose.yml": ""}, "x.compose.yml: plugin is None, expected 'immutable.compose.composition'"),
        (
            {"x.compose.yml": "plugin: immutable.compose.compositon\n"},
            "plugin is 'immutable.compose.compositon', expected",
        ),
        ({"x.compose.yml/y": "nothing"}, "none of the inventory sources is a deployment file"),
        ({"hosts.ini": "legacy1\n"}, "none of the inventory sources is a deployment file"),
    ],
    ids=["broken", "empty", "another-plugin", "directory", "other"],
)
def test_no_node_is_a_failure(site: Site, write: dict[str, str], why: str) -> None:
    for name, text in write.items():
        (site.directory / name).parent.mkdir(exist_ok=True)
        (site.directory / name).write_text(text)
    unminded = {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "false"}
    done = site.run("ansible-playbook", "-i", site.directory, "immutable.compose.destroy", **unminded)
    assert done.returncode != 0
    assert "The inventory has no node of any deployment" in done.stderr
    assert why in done.stderr


def test_a_syntax_check_needs_no_inventory(site: Site) -> None:
    assert site.run("ansible-playbook", "--syntax-check", "immutable.compose.destroy").returncode == 0
