"""Projects of other tools, as ``ansible-inventory`` lists them."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Site

FLAKE = """{
  inputs.nxc.url = "github:oar-team/nixos-compose";
  outputs = { self, nixpkgs, nxc }: {
    packages.x86_64-linux = nxc.lib.compose { inherit nixpkgs; compositions = ./compositions.nix; };
  };
}
"""
ROLES = 'roles = { server = { }; node = { }; }; rolesDistribution = { nodes = 2; server = 1; }; testScript = "";'


def deployment(site: Site, builder: str, more: str = "") -> Path:
    path = site.directory / "mine.compose.yml"
    path.write_text(
        f"plugin: immutable.compose.composition\ncomposition: ../project\nbuilder: {builder}\nplatform: qemu\n{more}"
    )
    return path


@pytest.fixture
def project(site: Site) -> Path:
    path = site.directory.parent / "project"
    path.mkdir()
    return path


def hosts(site: Site, path: Path) -> set[str]:
    return set(site.list(path).data["_meta"]["hostvars"])


def test_a_project_of_nixos_compose_is_what_its_flake_says(site: Site, project: Path) -> None:
    (project / "flake.nix").write_text(FLAKE)
    (project / "nxc.json").write_text('{"composition": "composition.nix"}')
    (project / "composition.nix").write_text("{ roles.other = { }; }")
    (project / "compositions.nix").write_text(f"{{ nfs = {{ ... }}: {{ {ROLES} }}; }}")
    said = " ".join(site.list(deployment(site, "nxc")).message.split())
    assert "rolesDistribution: 'nodes' is not a role of the composition (it is passed over where 'roles' in" in said
    assert "says which nodes there are of node); did you mean 'node'?" in said
    assert hosts(site, deployment(site, "nxc", "roles: {node: 2}\n")) == {"server1", "node1", "node2"}


def test_a_composition_for_nixos_may_have_any_name(site: Site, project: Path) -> None:
    (project / "lab.nix").write_text(f"{{ setup, ... }}: {{ {ROLES} }}")
    builder = "{name: nixos, source: lab.nix}"
    assert "'nodes' is not a role" in " ".join(site.list(deployment(site, builder)).message.split())
    assert hosts(site, deployment(site, builder, "roles: {node: [a, b]}\n")) == {"server1", "a", "b"}


def test_a_hive_may_be_a_function(site: Site, project: Path) -> None:
    (project / "hive.nix").write_text(
        '{ ... }: { meta.nixpkgs = throw "no"; defaults = [ ]; web = [ { } ]; db = { }; }'
    )
    assert hosts(site, deployment(site, "nixos", "roles: {web: 2}\n")) == {"web1", "web2", "db"}


HIVE = """{
  meta.nixpkgs = throw "not here";
  defaults.deployment.tags = [ "all-of-them" ];
  web.deployment = { tags = [ "www" ]; targetHost = "192.0.2.7"; targetUser = "admin"; targetPort = 2222; };
  "gamma.tld".deployment.targetHost = "10.87.9.9";
}
"""


def test_tags_of_a_hive_are_groups(site: Site, project: Path) -> None:
    (project / "hive.nix").write_text(HIVE)
    inventory = site.list(deployment(site, "nixos", "roles: {web: 2}\n")).data
    assert inventory["tag_www"]["hosts"] == ["web1", "web2"]
    assert inventory["tag_all_of_them"]["hosts"] == ["gamma-tld", "web1", "web2"]
    assert {"tag_www", "tag_all_of_them", "role_web", "role_gamma_tld"} <= set(inventory["immutable"]["children"])


def test_where_a_hive_has_its_machines(site: Site, project: Path) -> None:
    """They are where platforms have use for them, and an address of the network is the node's."""
    (project / "hive.nix").write_text(HIVE)
    made = site.list(deployment(site, "nixos")).data["_meta"]["hostvars"]
    assert made["gamma-tld"]["compose_address"] == "10.87.9.9"
    assert made["gamma-tld"]["compose_address_given"] is True
    assert made["web"]["compose_address"].startswith("10.87.")  # one that it can have
    assert {(host["ansible_user"], host["ansible_host"]) for host in made.values()} == {
        ("root", "gamma-tld"),
        ("root", "web"),
    }

    kexec = deployment(site, "nixos", "network: 192.0.2.0/24\n")
    kexec.write_text(kexec.read_text().replace("qemu", "kexec"))
    lent = site.list(kexec).data["_meta"]["hostvars"]
    assert lent["web"]["compose_options"] == {"host": "192.0.2.7", "user": "admin", "port": 2222}
    assert (lent["web"]["compose_address"], lent["web"]["compose_machine"]) == ("192.0.2.7", "192.0.2.7")
    # The deployment file has the last word, and several nodes have not one machine.
    kexec.write_text(kexec.read_text() + "nodes: {web: {options: {user: root}}}\n")
    assert site.list(kexec).data["_meta"]["hostvars"]["web"]["compose_options"]["user"] == "root"
    kexec.write_text(kexec.read_text().replace("nodes: {web: {options: {user: root}}}", "roles: {web: 2}"))
    assert "compose_options" not in site.list(kexec).data["_meta"]["hostvars"]["web1"]


def test_names_of_a_hive_that_come_to_the_same(site: Site, project: Path) -> None:
    (project / "hive.nix").write_text('{ "gamma.tld" = { }; gamma_tld = { }; }')
    said = " ".join(site.list(deployment(site, "nixos")).message.split())
    assert "the name 'gamma-tld' is used twice, by role 'gamma.tld' and role 'gamma_tld'" in said
    assert hosts(site, deployment(site, "nixos", "roles: {gamma_tld: [other]}\n")) == {"gamma-tld", "other"}
