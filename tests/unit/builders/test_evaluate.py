"""What the builder ``debian`` knows of a composition without building it, and what it refuses."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.builder import Debian
from ansible_collections.immutable.compose.plugins.module_utils.errors import (
    EvaluationError,
    InputError,
    MissingProgramError,
)

from .conftest import REPOSITORY, Compose

WEB = """
{ helpers, parameters, ... }:
{
  roles.proxy = { packages = [ "nginx-light" ]; %(proxy)s };
  roles.backend = { packages = [ "python3" ]; %(backend)s };
  roles.database = { packages = [ "redis-server" ]; };
  %(top)s
}
"""


def web(proxy: str = "", backend: str = "", top: str = "") -> str:
    return WEB % {"proxy": proxy, "backend": backend, "top": top}


def identities(debian: Debian, path: str) -> dict[str, str | None]:
    return {name: role.identity for name, role in debian.evaluate(path, {}).roles.items()}


def test_examples(debian: Debian) -> None:
    nfs = debian.evaluate(str(REPOSITORY / "compositions/nfs"), {})
    assert set(nfs.roles) == {"server", "node"}
    assert nfs.distribution == {"node": 2}
    server = nfs.roles["server"]
    assert server.bootable
    assert server.ports == (2049,)
    assert server.volumes["shared"].mount == "/srv/shared"
    assert re.fullmatch(r"[a-z0-9]{32}-nfs-server", server.identity or "")
    assert "nfs-kernel-server" in server.packages
    assert any(name.startswith("linux-image-") for name in server.packages)
    assert "node1.succeed" in nfs.test_script
    assert nfs.lock is not None
    web_ = debian.evaluate(str(REPOSITORY / "compositions/web"), {})
    assert all(role.bootable for role in web_.roles.values())


def test_writes_nothing(debian: Debian, own_store: Path) -> None:
    path = REPOSITORY / "compositions/nfs"
    before = {file: file.stat().st_mtime_ns for file in path.iterdir()}
    debian.evaluate(str(path), {})
    assert not own_store.exists()
    assert {file: file.stat().st_mtime_ns for file in path.iterdir()} == before


def test_without_lock_there_are_no_identities(debian: Debian, compose: Compose) -> None:
    composition = debian.evaluate(compose("{ roles.a = { }; }"), {})
    assert composition.roles["a"].identity is None
    assert composition.lock is None
    assert composition.revision is None


@pytest.mark.parametrize(
    "change",
    [
        {"proxy": "ports = [ 80 ];"},
        {"proxy": 'description = "another";'},
        {"top": 'testScript = "pass";'},
        {"top": "rolesDistribution.backend = 7;"},
    ],
)
def test_what_is_not_in_an_image_does_not_change_it(debian: Debian, compose: Compose, change: dict[str, str]) -> None:
    before = identities(debian, compose(web(), lock="web"))
    assert None not in before.values()
    assert identities(debian, compose(web(**change), lock="web")) == before


@pytest.mark.parametrize(
    "change",
    [
        'files."/etc/motd".text = "hello";',
        'units."nginx.service".mask = true;',
        "users.alice = { };",
        'postInstall = "true";',
        'volumes.data.mount = "/data";',
    ],
)
def test_a_role_changed_changes_its_image_only(debian: Debian, compose: Compose, change: str) -> None:
    before = identities(debian, compose(web(), lock="web"))
    after = identities(debian, compose(web(proxy=change), lock="web"))
    assert {name for name in before if before[name] != after[name]} == {"proxy"}


def test_size_of_a_volume_is_not_in_the_image(debian: Debian, compose: Compose) -> None:
    small = identities(debian, compose(web(proxy='volumes.a = { mount = "/a"; size = 1; };'), lock="web"))
    large = identities(debian, compose(web(proxy='volumes.a = { mount = "/a"; size = 9; };'), lock="web"))
    assert small == large


def test_kernel_parameters_are_part_of_an_image(debian: Debian, compose: Compose) -> None:
    text = '{ roles.server = { packages = [ "htop" "nfs-kernel-server" ]; kernel = "linux-image-cloud-amd64"; %s }; }'
    before = identities(debian, compose(text % "", lock="nfs"))
    after = identities(debian, compose(text % 'kernelParams = [ "mitigations=off" ];', lock="nfs"))
    assert before["server"] is not None
    assert before != after


def test_content_of_a_source_file_counts(debian: Debian, compose: Compose, tmp_path: Path) -> None:
    text = web(proxy='files."/srv/page".source = ./page;')
    path = compose(text, lock="web")
    Path(path, "page").write_text("one")
    before = identities(debian, path)
    Path(path, "page").write_text("two")
    after = identities(debian, path)
    assert {name for name in before if before[name] != after[name]} == {"proxy"}


def test_a_locked_version_changes_only_the_roles_that_have_it(debian: Debian, compose: Compose) -> None:
    path = compose(web(), lock="web")
    before = identities(debian, path)
    file = Path(path, "compose.lock.json")
    lock = json.loads(file.read_text())
    lock["packages"]["redis-server"]["sha256"] = "0" * 64
    file.write_text(json.dumps(lock))
    after = identities(debian, path)
    assert {name for name in before if before[name] != after[name]} == {"database"}


def test_a_role_whose_packages_are_not_those_locked_has_no_identity(debian: Debian, compose: Compose) -> None:
    path = compose(web().replace('"nginx-light"', '"nginx-light" "htop"'), lock="web")
    assert [name for name, identity in identities(debian, path).items() if identity is None] == ["proxy"]


def test_arguments_and_functions_of_nixos_compose(debian: Debian, compose: Compose) -> None:
    text = """
    { pkgs, lib, modulesPath, helpers, flavour, setup, nur, system, extra ? "default", ... }@all:
    let
      base = { packages = [ "htop" ]; files."/etc/a".text = "a"; };
    in
    {
      roles = helpers.makeMany base "worker" 2
        // helpers.makeManyById (id: { files."/etc/id".text = toString id; }) "disk" 2
        // {
          joined = helpers.merge [ base { packages = [ "jq" ]; ports = [ setup.params.port ]; } ];
          function = { lib, ... }: { packages = lib.optional (flavour.name == "debian") "curl"; };
        };
      rolesDistribution = { worker1 = [ "w-a" "w-b" ]; };
    }
    """
    composition = debian.evaluate(compose(text), {"port": 8080})
    assert set(composition.roles) == {"worker1", "worker2", "disk1", "disk2", "joined", "function"}
    assert composition.roles["joined"].ports == (8080,)
    assert composition.distribution == {"worker1": ["w-a", "w-b"]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{\n  roles = {\n    a = b c d;;\n  };\n}", r"composition\.nix:3:15"),
        ('{ roles = throw "not today"; }', "not today"),
        ("{ roles.a = { packages = [ nosuch ]; }; }", r"undefined variable 'nosuch'[\s\S]*composition\.nix:1:28"),
        (
            "{ pkgs, ... }: { roles.a.packages = [ pkgs.htop ]; }",
            "'pkgs' was used, but the debian builder has no Nixpkgs",
        ),
        ("{ strange, ... }: { roles.a.description = strange; }", "passes no argument 'strange'"),
    ],
)
def test_keeps_what_nix_says(debian: Debian, compose: Compose, text: str, expected: str) -> None:
    path = compose(text)
    with pytest.raises(EvaluationError) as refused:
        debian.evaluate(path, {})
    assert re.search(expected, str(refused.value))
    assert f"{path}/composition.nix does not evaluate" in str(refused.value)


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("packges = [ ];", "roles.server.packges: unknown attribute; did you mean 'packages'?"),
        ('packages = "htop";', "roles.server.packages: 'htop' is not of type 'array'"),
        ('packages = [ "htop" 3 ];', "roles.server.packages[1]: 3 is not of type 'string'"),
        ('packages = [ "no such name" ];', "roles.server.packages[0]: 'no such name' does not match"),
        ('ports = [ "80" ];', "roles.server.ports[0]: '80' is not of type 'integer'"),
        ('mayFail = [ "a b" ];', "roles.server.mayFail[0]: 'a b' does not match"),
        ('mayFail = "backup";', "roles.server.mayFail: 'backup' is not of type 'array'"),
        ("ports = [ 70000 ];", "roles.server.ports[0]: 70000 is greater than the maximum of 65535"),
        ('files."/etc/x".mod = "0644";', "roles.server.files.\"/etc/x\".mod: unknown attribute; did you mean 'mode'?"),
        ('files."etc/x".text = "";', 'roles.server.files."etc/x": not a valid name here'),
        ('files."/a/../b".text = "";', 'roles.server.files."/a/../b": not a valid name here'),
        ('files."/etc/x".mode = "0644";', 'roles.server.files."/etc/x": needs either text or source'),
        ('files."/etc/x" = { text = ""; mode = "rw"; };', "roles.server.files.\"/etc/x\".mode: 'rw' does not match"),
        (
            'files."/etc/x".source = "/etc/hostname";',
            "roles.server.files.\"/etc/x\".source: '/etc/hostname' is a string, not a path",
        ),
        ('files."/etc/hosts".text = "";', 'roles.server.files."/etc/hosts": is made when the node boots'),
        ('files."/etc/./hosts".text = "";', 'roles.server.files."/etc/./hosts": is made when the node boots'),
        (
            'files."/var/run/x".text = "";',
            'roles.server.files."/var/run/x": cannot be in an image: the running system has /run for itself',
        ),
        (
            'files."/lib/compose/apply-node".text = "";',
            'roles.server.files."/lib/compose/apply-node": belongs to the node itself',
        ),
        ('files."/etc".source = ./.;', 'roles.server.files."/etc": is a directory of the whole system'),
        ('units."compose-node.service".mask = true;', "roles.server.units.compose-node.service: belongs to the node"),
        (
            'volumes.data.mount = "/usr";',
            "roles.server.volumes.data.mount: /usr would hide what the system boots with",
        ),
        (
            'units."x.service" = { text = "[Unit]"; mask = true; };',
            "roles.server.units.x.service: a unit with text cannot be masked",
        ),
        ("units.nginx = { };", "roles.server.units.nginx: not a valid name here"),
        ("volumes.data = { };", "roles.server.volumes.data.mount: is missing"),
        (
            'volumes.data = { mount = "/x"; size = "1G"; };',
            "roles.server.volumes.data.size: '1G' is not of type 'integer'",
        ),
        ('users.alice.uid = "1000";', "roles.server.users.alice.uid: '1000' is not of type 'integer'"),
        ('kernelModules = [ "nfs" ];', "roles.server.kernelModules: needs a kernel"),
        ("kernel = true;", "roles.server.kernel: True is not of type 'string', 'null'"),
    ],
)
def test_refuses_attributes(debian: Debian, compose: Compose, role: str, expected: str) -> None:
    path = compose(f"{{ roles.server = {{ {role} }}; }}")
    with pytest.raises(InputError) as refused:
        debian.evaluate(path, {})
    assert expected in str(refused.value)
    assert str(refused.value).startswith(f"{path}/composition.nix: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{ role.a = { }; }", "role: unknown attribute; did you mean 'roles'?"),
        ("{ roles = { }; }", "roles: "),
        ('{ roles."a/b" = { }; }', "roles.a/b: not the name of a role"),
        (
            "{ roles.node = { }; rolesDistribution.node = -1; }",
            "rolesDistribution.node: -1 is less than the minimum of 0",
        ),
        ('{ roles.node = { }; rolesDistribution.node = [ "!" ]; }', "'!' gives no host name"),
        ("{ roles.node = { }; testScript = [ ]; }", "testScript: [] is not of type 'string'"),
        ('{ roles.node = { }; debian.suit = "trixie"; }', "debian.suit: unknown attribute; did you mean 'suite'?"),
    ],
)
def test_refuses_compositions(debian: Debian, compose: Compose, text: str, expected: str) -> None:
    with pytest.raises(InputError, match=re.escape(expected)):
        debian.evaluate(compose(text), {})


def test_refuses_a_directory_without_composition(debian: Debian, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"composition\.nix is missing"):
        debian.evaluate(str(tmp_path), {})


def test_refuses_a_directory_name_that_cannot_name_images(debian: Debian, compose: Compose) -> None:
    assert debian.evaluate(compose("{ roles.a = { }; }", name="My_Composition"), {}).name == "my-composition"
    with pytest.raises(InputError, match="letters, digits and dashes"):
        debian.evaluate(compose("{ roles.a = { }; }", name="__"), {})


def test_names_the_package_of_a_missing_nix(
    debian: Debian, compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = compose("{ roles.a = { }; }")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingProgramError, match="'nix-instantiate' is not installed.*'nix-bin'"):
        debian.evaluate(path, {})


def test_revision(debian: Debian, compose: Compose) -> None:
    path = compose("{ roles.a = { }; }")
    git = f"git -C {path} -c user.name=t -c user.email=t@localhost"
    assert os.system(f"{git} init -q && {git} add . && {git} commit -q -m one") == 0
    clean = debian.evaluate(path, {}).revision
    assert clean is not None
    assert re.fullmatch(r"[0-9a-f]{40}", clean)
    Path(path, "new").touch()
    assert debian.evaluate(path, {}).revision == f"{clean}-dirty"
