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
