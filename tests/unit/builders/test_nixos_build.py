"""The way of the builder nixos to Nixpkgs and back, with a stub in the place of Nixpkgs; and what is real of it."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.nix.nix import Nix
from ansible_collections.immutable.compose.plugins.module_utils.builders.nixos.builder import Nixos
from ansible_collections.immutable.compose.plugins.module_utils.errors import EvaluationError
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import RoleMachine
from ansible_collections.immutable.compose.plugins.module_utils.model.image import SYSTEM_LINK, Package
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import REPOSITORY, Compose

STUB = str(Path(__file__).parent / "stub_nixpkgs")
EXAMPLE = str(REPOSITORY / "compositions/nfs-nixos")
DIRECT = ["root", "kernel", "initrd"]


@pytest.fixture(autouse=True)
def store(own_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NIX_CONFIG", "sandbox = false\nsubstituters =\nbuild-users-group =")
    return own_store


def nixos(**options: t.Any) -> Nixos:
    return Nixos(str(REPOSITORY / "nix"), Progress(), {"nixpkgs": STUB, **options})


def test_stub_nixpkgs_identity_is_the_name_of_the_system(store: Path) -> None:
    found = nixos().identify(EXAMPLE, {}, ["server", "node"], DIRECT)
    assert sorted(found) == ["node", "server"]
    assert found["server"].endswith("-nixos-system-server-stub")


def test_stub_nixpkgs_identity_is_of_how_the_system_boots() -> None:
    found = {
        formats: nixos().identify(EXAMPLE, {}, ["node"], formats.split())["node"]
        for formats in ("root", "oci", "root kernel initrd", "raw", "qcow2", "tar", "kexec", "iso", "vma")
    }
    assert found["root"] == found["oci"]
    assert found["root kernel initrd"] == found["raw"] == found["qcow2"]
    assert len(set(found.values())) == 6


def test_stub_nixpkgs_build_gives_bundle_with_root_and_manifest(tmp_path: Path, store: Path) -> None:
    builder, roots = nixos(), tmp_path / "roots"
    assert builder.is_built(EXAMPLE, {}, ["server"], DIRECT) == {"server": False}
    image = builder.build(EXAMPLE, {}, ["server"], DIRECT, str(roots))["server"]
    assert builder.is_built(EXAMPLE, {}, ["server"], DIRECT) == {"server": True}

    assert image.identity == builder.identify(EXAMPLE, {}, ["server"], DIRECT)["server"]
    assert (image.role, image.builder, image.identity_file) == ("server", "nixos", SYSTEM_LINK)
    assert image.architecture in ("amd64", "arm64")
    assert image.cmdline == f"init={store}/store/{image.identity}/init"
    assert sorted(image.formats) == sorted(DIRECT)
    for format_ in DIRECT:
        assert Path(image.path(format_)).read_text().startswith(f"{format_} of ")
        assert image.formats[format_].size == os.path.getsize(image.path(format_))
    assert os.path.realpath(roots / image.identity) == os.path.realpath(image.bundle)
    # A system and its configuration are no packages; an output is none of its own name.
    path = f"{store}/store/0123456789abcdfghijklmnpqrsvwxyz-openssl-3.0.14-bin"
    assert image.packages == (Package("openssl", "3.0.14", path),)


def test_stub_nixpkgs_bundle_keeps_its_files_and_not_the_packages(tmp_path: Path, store: Path) -> None:
    image = nixos().build(EXAMPLE, {}, ["node"], ["tar"], str(tmp_path))["node"]
    references = subprocess.run(
        ["nix-store", "--query", "--references", image.bundle], check=True, capture_output=True, text=True
    ).stdout.split()
    assert [os.path.basename(path)[33:] for path in references] == ["tar-of-node"]
    assert image.identity not in Path(image.bundle, "image.json").read_text()


def test_stub_nixpkgs_volumes_are_in_the_manifest(compose: Compose, tmp_path: Path) -> None:
    path = compose('{ roles.a = { }; compose.a.volumes.db = { mount = "/srv/db"; mode = "0700"; }; }')
    image = nixos().build(path, {}, ["a"], ["qcow2"], str(tmp_path / "roots"))["a"]
    assert (image.volumes["db"].mount, image.volumes["db"].mode, image.volumes["db"].size) == ("/srv/db", "0700", 1024)
    assert image.numbers.users == {"bob": 1000, "root": 0}


def test_stub_nixpkgs_parameters_change_the_image(compose: Compose) -> None:
    path = compose('{ setup, ... }: { roles.a.stubText = setup.params.text or ""; }')
    one, other = (nixos().identify(path, {"text": text}, ["a"], ["root"]) for text in ("one", "other"))
    assert one != other


def test_stub_nixpkgs_second_build_is_compared(tmp_path: Path) -> None:
    nixos().build(EXAMPLE, {}, ["node"], DIRECT, str(tmp_path))
    assert nixos().check_reproducible(EXAMPLE, {}, ["node"], DIRECT) == {"node": ""}


def test_stub_nixpkgs_is_found_by_the_lock(compose: Compose) -> None:
    path = compose("{ roles.a = { }; }")
    nodes = {
        "root": {"inputs": {"nixpkgs": ["x", "np"], "x": "x"}},
        "x": {"inputs": {"np": "np_2"}},
        "np_2": {"locked": {"type": "path", "path": STUB}},
    }
    Path(path, "flake.lock").write_text(json.dumps({"nodes": nodes, "root": "root", "version": 7}))
    found = nixos(nixpkgs="").identify(path, {}, ["a"], ["root"])
    assert found == nixos().identify(path, {}, ["a"], ["root"])


def test_stub_nixpkgs_roles_know_each_other(compose: Compose) -> None:
    path = compose(
        '{ nodes, ... }: { roles.a = { }; roles.b.stubText = if nodes.a.boot.isContainer then "1" else "2"; }'
    )
    found = nixos().identify(path, {}, ["b"], ["root"])
    assert found == nixos().identify(compose('{ roles.a = { }; roles.b.stubText = "2"; }'), {}, ["b"], ["root"])
    path = compose("{ nodes, ... }: { roles.a = { }; testScript = nodes.a.networking.hostName; }")
    with pytest.raises(EvaluationError, match="depends on 'nodes', which takes Nixpkgs"):
        nixos().evaluate(path, {})


def test_stub_nixpkgs_expression_of_configurations_and_modules(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "default.nix").write_text(
        '{ nixpkgs }: { a = { stubText = "a"; }; '
        'b = import (nixpkgs + "/nixos/lib/eval-config.nix") { modules = [ { } ]; }; }'
    )
    assert sorted(nixos().evaluate(str(site), {}).roles) == ["a", "b"]
    found = nixos().identify(str(site), {}, ["a", "b"], ["tar"])
    assert found["b"].endswith("-nixos-system-b-stub")


def test_stub_nixpkgs_hive(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "hive.nix").write_text(
        f'{{ meta.nixpkgs = {STUB}; defaults.stubText = "all"; '
        'web = { deployment.targetHost = "web"; }; db = { }; }'
    )
    (site / "composition.yml").write_text("rolesDistribution: {web: 2}")
    found = nixos(nixpkgs="").evaluate(str(site), {})
    assert (sorted(found.roles), found.distribution) == (["db", "web"], {"web": 2})
    identity = nixos(nixpkgs="").identify(str(site), {}, ["web"], ["root"])["web"]
    assert identity.endswith("-nixos-system-web-stub")


@pytest.mark.parametrize(
    "hive",
    [
        '{ meta.nixpkgs = NIXPKGS; defaults = [ { stubText = "a"; } ]; web = [ { stubText = "b"; } ./more.nix ]; }',
        '{ ... }: { meta.nixpkgs = _: NIXPKGS; defaults.stubText = "a"; web = [ { stubText = "b"; } ./more.nix ]; }',
        '{ __functor = _: _: { meta.nixpkgs = NIXPKGS; web = [ { stubText = "ab"; } ./more.nix ]; }; }',
    ],
)
def test_stub_nixpkgs_hives_of_functions_and_lists(tmp_path: Path, hive: str) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "more.nix").write_text("{ }")
    (site / "hive.nix").write_text(hive.replace("NIXPKGS", STUB))
    assert list(nixos(nixpkgs="").evaluate(str(site), {}).roles) == ["web"]
    found = nixos(nixpkgs="").identify(str(site), {}, ["web"], ["root"])
    (site / "hive.nix").write_text(f'{{ meta.nixpkgs = {STUB}; web = [ {{ stubText = "ab"; }} ./more.nix ]; }}')
    assert nixos(nixpkgs="").identify(str(site), {}, ["web"], ["root"]) == found


@pytest.mark.parametrize(
    ("pin", "option"),
    [("./pinned", ""), ("<nowhere>", STUB)],
)
def test_stub_nixpkgs_whatever_a_hive_calls_its_nixpkgs(tmp_path: Path, pin: str, option: str) -> None:
    site = tmp_path / "site"
    (site / "pinned").mkdir(parents=True)
    (site / "pinned/default.nix").write_text(f"{{ ... }}: import {STUB} {{ system = 1; }} // {{ path = {STUB}; }}")
    (site / "hive.nix").write_text(f'{{ meta.nixpkgs = {STUB}; web.stubText = "a"; }}')
    plain = nixos(nixpkgs="").identify(str(site), {}, ["web"], ["root"])
    (site / "hive.nix").write_text(f'{{ meta.nixpkgs = {pin}; web.stubText = "a"; }}')
    assert nixos(nixpkgs=option).identify(str(site), {}, ["web"], ["root"]) == plain


def test_a_hive_is_for_the_system_of_its_packages(tmp_path: Path) -> None:
    packages = tmp_path / "nixpkgs"
    (packages / "nixos/lib").mkdir(parents=True)
    # Tells what modules say.
    (packages / "nixos/lib/eval-config.nix").write_text(
        """{ modules, specialArgs, ... }:
        let said = map (module: if builtins.isFunction module then module arguments else module) modules;
            arguments = { name = "web"; lib = builtins.mapAttrs (_: _: x: x) { mkDefault = 1; mkBefore = 1; }; };
        in { config.said = builtins.foldl' (all: module: all // (module.nixpkgs or { })) { } said; }"""
    )
    hive = f'{{ meta.nixpkgs = {{ path = {packages}; system = "riscv64-linux"; overlays = [ 7 ]; }}; web = {{ }}; }}'

    def said(system: str) -> dict[str, t.Any]:
        given = f'{{ hive = {hive}; nixpkgs = ""; pin = 1; system = "{system}"; }}'
        text = f"(import {REPOSITORY}/nix/nixos/sources/hive.nix {given}).configurations.web.config.said"
        command = ["nix-instantiate", "--eval", "--strict", "--json", "--expr", text]
        return t.cast("dict[str, t.Any]", json.loads(subprocess.run(command, check=True, capture_output=True).stdout))

    assert said("") == {"hostPlatform": "riscv64-linux", "overlays": [7], "config": {}}
    assert said("aarch64-linux")["hostPlatform"] == "aarch64-linux"


def test_stub_nixpkgs_keys_of_a_hive_are_refused_by_name(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "hive.nix").write_text(
        f'{{ meta.nixpkgs = {STUB}; web = {{ deployment.tags = [ ]; }}; db.deployment.keys.tok.text = "secret"; }}'
    )
    assert nixos(nixpkgs="").identify(str(site), {}, ["web"], ["root"])
    with pytest.raises(
        EvaluationError, match=r"deployment\.keys\.tok of db: .*secrets of the deployment file"
    ) as refused:
        nixos(nixpkgs="").identify(str(site), {}, ["db"], ["root"])
    assert 'secret"' not in refused.value.message


def test_stub_nixpkgs_what_the_plan_has_evaluated_is_built(compose: Compose, tmp_path: Path, store: Path) -> None:
    path, roots = compose('{ roles.a.stubText = "a"; roles.b = { }; }'), str(tmp_path / "roots")
    plan = nixos()
    planned = plan.identify(path, {}, ["a"], DIRECT)

    def unable(*_: object, **__: object) -> t.NoReturn:
        raise AssertionError("it was evaluated again")

    build = nixos()
    build.evaluated.update(plan.evaluated)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Nix, "evaluate", unable)
        assert build.is_built(path, {}, ["a"], DIRECT) == {"a": False}
        assert build.build(path, {}, ["a"], DIRECT, roots)["a"].identity == planned["a"]
        for other in (["b"], DIRECT), (["a"], ["root"]):
            with pytest.raises(AssertionError, match="evaluated again"):
                build.identify(path, {}, *other)
    # Only as long as the composition is the same,
    Path(path, "composition.nix").write_text('{ roles.a.stubText = "other"; }')
    assert build.identify(path, {}, ["a"], DIRECT) != planned
    # and the store has what it takes.
    Path(path, "composition.nix").write_text('{ roles.a.stubText = "third"; }')
    third = plan.identify(path, {}, ["a"], DIRECT)
    subprocess.run(["nix-collect-garbage"], check=True, capture_output=True)
    build.evaluated.update(plan.evaluated)
    assert build.build(path, {}, ["a"], DIRECT, roots)["a"].identity == third["a"]


def flake(directory: Path, more: str = "") -> Path:
    """A flake with the configuration ``web``, and more outputs."""
    site = directory / "site"
    site.mkdir()
    (site / "flake.nix").write_text(
        "{ outputs = { self }: { nixosConfigurations.web = "
        f'import {STUB}/nixos/lib/eval-config.nix {{ modules = [ {{ stubText = "web"; }} ]; }}; {more} }}; }}'
    )
    return site


def test_stub_nixpkgs_a_flake_with_both_outputs(tmp_path: Path) -> None:
    site = flake(tmp_path, f"colmena = {{ meta.nixpkgs = {STUB}; db = {{ }}; }};")

    def roles(**options: str) -> list[str]:
        builder = Nixos(str(REPOSITORY / "nix"), Progress(), {"nixpkgs": STUB, **options}, trusted=True)
        return list(builder.evaluate(str(site), {}).roles)

    assert (roles(output="colmena"), roles(output="nixosConfigurations")) == (["db"], ["web"])
    with pytest.raises(EvaluationError, match="both nixosConfigurations and colmena: say which with .* 'output'"):
        roles()
    (site / "flake.nix").write_text("{ outputs = { self }: { }; }")
    with pytest.raises(EvaluationError, match="has no output 'colmena'"):
        roles(output="colmena")


def test_stub_nixpkgs_a_hive_that_colmena_has_evaluated(tmp_path: Path) -> None:
    node = f"import {STUB}/nixos/lib/eval-config.nix {{ modules = [ {{ deployment = MACHINE; }} ]; }}"
    machine = '{ tags = [ "x" ]; targetHost = "db.example.org"; targetUser = null; targetPort = 7; keys = { }; }'
    site = flake(tmp_path, f"colmenaHive.nodes.db = {node.replace('MACHINE', machine)};")
    builder = Nixos(str(REPOSITORY / "nix"), Progress(), {"nixpkgs": STUB, "output": "colmena"}, trusted=True)
    role = builder.evaluate(str(site), {}).roles["db"]
    assert (role.tags, role.machine) == (("x",), RoleMachine("db.example.org", None, 7))
    assert builder.identify(str(site), {}, ["db"], ["root"])


def test_stub_nixpkgs_flake(tmp_path: Path) -> None:
    site = flake(tmp_path)
    trusted = Nixos(str(REPOSITORY / "nix"), Progress(), {"nixpkgs": STUB}, trusted=True)
    assert list(trusted.evaluate(str(site), {}).roles) == ["web"]
    assert trusted.identify(str(site), {}, ["web"], ["root"])["web"].endswith("-nixos-system-web-stub")
