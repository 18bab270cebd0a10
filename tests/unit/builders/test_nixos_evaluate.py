"""What the builder nixos knows of a composition without Nixpkgs."""

from __future__ import annotations

import json
import os
import re
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.nixos.builder import Nixos
from ansible_collections.immutable.compose.plugins.module_utils.errors import EvaluationError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Volume
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import REPOSITORY, Compose, nothing_in

EXAMPLE = str(REPOSITORY / "compositions/nfs-nixos")


def nixos(**options: t.Any) -> Nixos:
    return Nixos(str(REPOSITORY / "nix"), Progress(), options)


def test_example_has_roles_counts_and_checks(own_store: Path) -> None:
    found = nixos().evaluate(EXAMPLE, {})
    assert sorted(found.roles) == ["node", "server"]
    assert found.distribution == {"node": 2}
    assert found.roles["server"].ports == (2049,)
    assert found.roles["node"].ports == ()
    assert all(role.identity is None and role.bootable for role in found.roles.values())
    compile(found.test_script, "testScript", "exec")
    assert nothing_in(own_store)


def test_role_bodies_are_not_looked_into(compose: Compose) -> None:
    path = compose('{ pkgs, lib, modulesPath, ... }: { roles.a = throw "seen"; roles.b = pkgs.hello; }')
    assert sorted(nixos().evaluate(path, {}).roles) == ["a", "b"]


def test_what_nixos_compose_knows_besides_is_passed_over(compose: Compose) -> None:
    path = compose('{ nodes.a = { }; dockerPorts.a = [ "1:1" ]; extraVolumes = [ ]; }')
    assert list(nixos().evaluate(path, {}).roles) == ["a"]


def test_parameters_and_helpers_reach_the_composition(compose: Compose) -> None:
    path = compose(
        "{ setup, helpers, flavour, ... }: { roles = helpers.makeMany { } flavour.name setup.params.count; "
        'rolesDistribution.nixos1 = [ "x" ]; }'
    )
    found = nixos().evaluate(path, {"count": 2})
    assert sorted(found.roles) == ["nixos1", "nixos2"]
    assert found.distribution == {"nixos1": ["x"]}
    assert found.digest != nixos().evaluate(path, {"count": 3}).digest


def test_volumes_stand_beside_the_role(compose: Compose) -> None:
    path = compose('{ roles.a = { }; compose.a.volumes.db = { mount = "/srv/db"; size = 64; }; }')
    assert nixos().evaluate(path, {}).roles["a"].volumes == {"db": Volume("/srv/db", 64)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{ roles = throw "no roles today"; }', "no roles today"),
        ("{ wrong, ... }: { roles.a = { }; testScript = wrong; }", "passes no argument 'wrong'"),
        ("{ pkgs, ... }: { roles.a = { }; testScript = pkgs.hello; }", "attribute 'hello' missing"),
        ("{\n  roles.a = \n}", "syntax error"),
    ],
)
def test_evaluation_errors_keep_the_words_of_nix(compose: Compose, text: str, message: str) -> None:
    path = compose(text)
    with pytest.raises(EvaluationError, match=message) as raised:
        nixos().evaluate(path, {})
    assert f"{path}/composition.nix does not evaluate" in raised.value.message
    assert raised.value.failure is not None
    assert raised.value.failure.kind == "evaluation"


def test_syntax_errors_name_file_and_line(compose: Compose) -> None:
    path = compose("{\n  roles.a = { };\n  testScript = ;\n}")
    with pytest.raises(EvaluationError) as raised:
        nixos().evaluate(path, {})
    assert raised.value.failure is not None
    assert (raised.value.failure.file, raised.value.failure.line) == (f"{path}/composition.nix", 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{ }", "roles is missing or empty"),
        ("{ roles.a = { }; compose.b.ports = [ 1 ]; }", "compose.b: there is no such role"),
        ("{ roles.a = { }; compose.a.prots = [ 1 ]; }", "roles.a.prots: unknown attribute"),
        ("{ roles.a = { }; compose.a.ports = [ 70000 ]; }", "70000"),
        ('{ roles."A b" = { }; }', "roles.A b: not the name of a role"),
        ("{ roles.a = { }; testScript = 1; }", "testScript"),
    ],
)
def test_wrong_attributes_are_refused_by_name(compose: Compose, text: str, message: str) -> None:
    path = compose(text)
    with pytest.raises(InputError, match=re.escape(message)) as raised:
        nixos().evaluate(path, {})
    assert "composition.nix" in raised.value.message


def test_without_a_pin_nothing_is_taken_from_the_host(compose: Compose, own_store: Path) -> None:
    path = compose("{ roles.a = { }; }")
    with pytest.raises(EvaluationError, match="no Nixpkgs is pinned: .* has no flake.lock") as raised:
        nixos().identify(path, {}, ["a"], ["root"])
    assert "option 'nixpkgs'" in raised.value.message


def test_a_lock_without_nixpkgs_is_no_pin(compose: Compose, own_store: Path) -> None:
    path = compose("{ roles.a = { }; }")
    lock = {"nodes": {"root": {"inputs": {"other": "other"}}}, "root": "root", "version": 7}
    Path(path, "flake.lock").write_text(json.dumps(lock))
    with pytest.raises(EvaluationError, match="no flake.lock with an input 'nixpkgs'"):
        nixos().identify(path, {}, ["a"], ["root"])
    assert nixos().evaluate(path, {}).lock is not None


def test_formats_of_several_systems_are_refused_before_anything_is_evaluated() -> None:
    with pytest.raises(InputError, match="together go: oci, root; initrd, kernel, qcow2, raw, root; kexec; tar"):
        nixos().build(EXAMPLE, {}, ["node"], ["root", "tar"], "/nonexistent")


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="option source of builder 'nixos' is 'machines.nix'"):
        nixos(source="machines.nix").evaluate(EXAMPLE, {})


def test_the_end_of_a_files_name_tells_its_form(compose: Compose) -> None:
    path = compose('{ roles.a = { }; testScript = "a.succeed()"; }')
    os.rename(f"{path}/composition.nix", f"{path}/foo-composition.nix")
    assert nixos(source="foo-composition.nix").evaluate(path, {}).test_script == "a.succeed()"


@pytest.mark.parametrize(
    "text",
    [
        '{ setup, lib, ... }: { nodes = lib.genAttrs [ "a" ] (_: { }); testScript = "a.succeed()"; }',
        '{ roles.a = { }; testScript = "a.succeed()"; }',
    ],
)
@pytest.mark.parametrize("name", ["lab.nix", "default.nix", "hpc_lab.2.nix"])
def test_a_composition_may_have_any_name(compose: Compose, text: str, name: str) -> None:
    path = compose(text)
    os.rename(f"{path}/composition.nix", f"{path}/{name}")
    found = nixos(source=name).evaluate(path, {})
    assert (found.test_script, set(found.roles)) == ("a.succeed()", {"a"})


@pytest.mark.parametrize("text", ["{ meta.nixpkgs = 1; a = { }; }", "{ ... }: { defaults = { }; a = { }; }"])
@pytest.mark.parametrize("name", ["lab.nix", "default.nix"])
def test_a_hive_may_have_any_name(compose: Compose, text: str, name: str) -> None:
    path = compose(text)
    os.rename(f"{path}/composition.nix", f"{path}/{name}")
    assert set(nixos(source=name).evaluate(path, {}).roles) == {"a"}


@pytest.mark.parametrize(
    "text",
    [
        "{ a = { }; }",
        "{ nixpkgs, ... }: { a = { }; }",
        "{ system }: if system == 1 then { roles = 1; } else { a = { }; }",
    ],
)
def test_what_has_no_roles_are_configurations(compose: Compose, text: str) -> None:
    path = compose(text)
    os.rename(f"{path}/composition.nix", f"{path}/lab.nix")
    assert set(nixos(source="lab.nix", nixpkgs="/nixpkgs").evaluate(path, {}).roles) == {"a"}


def test_what_stands_in_composition_yml_needs_no_evaluation(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/flake.nix").write_text("not even Nix")
    (tmp_path / "site/composition.yml").write_text(
        "roles: {web: {ports: [80]}, db: }\nrolesDistribution: {web: 3}\ntestScript: start_all()\n"
    )
    found = nixos().evaluate(str(tmp_path / "site"), {})
    assert found.roles["web"].ports == (80,)
    assert (found.distribution, found.test_script, sorted(found.roles)) == ({"web": 3}, "start_all()", ["db", "web"])


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("roles: {web: {port: 80}}", r"roles.web.port: unknown attribute; did you mean 'ports'"),
        ("roles: [web]", r"roles: \['web'\] is not of type 'object'"),
        ("roles: web", r"roles: 'web' is not of type 'object'"),
        ("roles: {web: [80]}", r"roles.web: \[80\] is not of type 'object'"),
        ("roles: {1: {}}", r"has the key 1, expected a string"),
        ("roles: {web: }\n2: x", r"has the key 2, expected a string"),
        ("roles: {web: }\nrolesDistribution: [web]", r"rolesDistribution: \['web'\] is not of type 'object'"),
        ("[web]", r"expected a mapping with any of roles"),
    ],
)
def test_wrong_composition_yml_is_refused(tmp_path: Path, said: str, why: str) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/flake.nix").write_text("{ }")
    (tmp_path / "site/composition.yml").write_text(said)
    with pytest.raises(InputError, match=rf"composition.yml:? ?.*{why}"):
        nixos().evaluate(str(tmp_path / "site"), {})
