"""What is refused, by the real ``ansible-inventory``: non-zero exit code, and a message to act on."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe.load import source_digest

from .conftest import Site


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("roles: {nodes: 2}", "yml: roles: 'nodes' is not a role of the composition; did you mean 'node'?"),
        ("roles: {node: -1}", "roles.node.count is -1, expected a count (0 to 100000)"),
        ("roles: {node: many}", "roles.node.count is 'many', expected a count"),
        ("roles: {node: [a, a]}", "roles.node: the name 'a' is used twice"),
        ("roles: {node: [node_1]}", "roles.node.names: invalid name 'node_1', expected lower-case letters"),
        ("roles: {node: {cuont: 2}}", "roles.node: 'cuont' is not a key of a role; did you mean 'count'?"),
        ("roles: {node: {options: {memroy: 1}}}", "unknown option 'memroy' of platform 'qemu'; did you mean 'memory'?"),
        ("roles: {node: {hosts: rack1}}", "node.hosts: 'rack1' is not a host or group of the sources read before"),
        ("roles: 3", "demo.compose.yml: roles is 3, expected a mapping"),
        ("builder: debain", "builder is 'debain', expected a known builder; did you mean 'debian'?"),
        ("platfrom: qemu", "demo.compose.yml: 'platfrom' is not a key of a deployment file; did you mean 'platform'?"),
        ("keep: true", "keep is True, as YAML reads yes, no, on and off; expected a whole number"),
        ("name: on", "name is True, as YAML reads yes, no, on and off; expected a text"),
        ("keep: few", "demo.compose.yml: keep is 'few', expected a whole number"),
        ("keep: 1.5", "keep is 1.5, expected a whole number"),
        ("keep: [1]", "keep is [1], expected a whole number"),
        ("name: [a]", "name is ['a'], expected a text"),
        ("setup: [a]", "setup is ['a'], expected a mapping"),
        ("builder: 3", "builder is 3, expected a name, or a mapping"),
        ("authorized_keys: {a: b}", "authorized_keys is {'a': 'b'}, expected a list"),
        ("authorized_keys: [secret]", "expected OpenSSH public keys"),
        ("roles: [", "demo.compose.yml"),
    ],
)
def test_deployment_file(site: Site, more: str, why: str) -> None:
    """One of each kind; the others are those of the composition room."""
    assert why in site.list(site.write(f"\n{more}\n")).message


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("platform: qemu", "platform: quemu", "platform is 'quemu', expected a known platform; did you mean 'qemu'?"),
        ("platform: qemu", "", "platform"),
        ("composition: ../nfs/composition.json", "", "composition"),
        (
            "composition: ../nfs/composition.json",
            "composition: no/such",
            "no/such: no such directory",
        ),
    ],
)
def test_required_keys(site: Site, old: str, new: str, why: str) -> None:
    source = site.write()
    source.write_text(source.read_text().replace(old, new))
    assert why in site.list(source).message


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"schema": "immutable.compose/composition/9"},
            'composition.schema is "immutable.compose/composition/9", expected',
        ),
        ({"name": "No Name"}, "name of the composition: invalid name 'No Name'"),
        ({"builder": "guix"}, "evaluated by builder 'guix', expected 'debian'"),
    ],
)
def test_composition_json(site: Site, changes: dict[str, t.Any], why: str) -> None:
    assert why in site.list(site.write(**changes)).message


def test_composition_that_does_not_evaluate(site: Site) -> None:
    """Nix's own words are kept, with file and line."""
    source = site.write()
    (site.composition / "composition.nix").write_text("{ ... }:\n{\n  roles.node = { packages = [ missing ]; };\n}\n")
    source.write_text(source.read_text().replace("nfs/composition.json", "nfs"))
    message = site.list(source).message
    assert "undefined variable 'missing'" in message
    assert "composition.nix:3:" in message


def test_neither_nix_nor_composition_json(site: Site) -> None:
    source = site.write()
    (site.composition / "composition.json").unlink()
    source.write_text(source.read_text().replace("nfs/composition.json", "nfs"))
    message = site.list(source, PATH=str(site.directory)).message
    assert "immutable.compose.evaluate' writes the file" in message
    assert "nfs: has no composition.json, and cannot be evaluated here: the program 'nix" in message
    assert "in the package 'nix-bin'" in message


def test_composition_json_serves_where_there_is_no_nix(site: Site) -> None:
    source = site.write()
    source.write_text(source.read_text().replace("nfs/composition.json", "nfs"))
    listed = site.list(source, PATH=str(site.directory))
    assert listed.data["deployment_demo"]["vars"]["compose_composition"] == str(site.composition)


def test_old_composition_json_is_refused(site: Site) -> None:
    site.write()
    fresh = site.write(source=source_digest(str(site.composition)))
    assert site.list(fresh).data
    (site.composition / "composition.nix").write_text("{ ... }: { roles.new = { }; }")
    listed = site.list(fresh)
    told = " ".join(listed.message.split())
    assert "composition.json does not match the files of the composition any more" in told
    assert "'ansible-playbook -i INVENTORY immutable.compose.evaluate' writes it again" in told
    assert "without its composition" not in listed.stderr
    fresh.write_text(fresh.read_text() + "stale: warn\n")
    listed = site.list(fresh)
    assert listed.returncode == 0 and "deployment_demo" in listed.stdout
    assert "composition.json does not match the files of the composition any more" in " ".join(listed.stderr.split())
    fresh.write_text(fresh.read_text().replace("stale: warn", "stale: perhaps"))
    assert "stale is 'perhaps', expected one of refuse, warn" in " ".join(site.list(fresh).message.split())


def test_the_same_deployment_twice(site: Site) -> None:
    one = site.write("\nroles: {node: [a], server: 0}\n")
    two = site.write("\nroles: {node: [b], server: 0}\n", file="again.compose.yml")
    two.write_text(two.read_text() + "name: demo\n")
    assert "name: 'demo' is the name of a deployment read before" in site.list(one, two).message


def test_names_that_other_sources_use(site: Site) -> None:
    (site.directory / "hosts.ini").write_text("server\n[node]\nx\n")
    listed = site.list(site.directory / "hosts.ini", site.write())
    assert "roles.node: the name 'node' is taken by a group of another inventory source" in listed.message
    listed = site.list(site.directory / "hosts.ini", site.write("\nroles: {node: 1}\n"))
    assert "roles.server: the name 'server' is taken by a host of another inventory source" in listed.message
