"""What hives of colmena say of their nodes to an inventory, with and without Nixpkgs."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.nixos.builder import Nixos
from ansible_collections.immutable.compose.plugins.module_utils.errors import EvaluationError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Role, RoleMachine
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import REPOSITORY, nothing_in

STUB = str(Path(__file__).parent / "stub_nixpkgs")

Hive = t.Callable[..., t.Mapping[str, Role]]


@pytest.fixture
def hive(tmp_path: Path) -> Hive:
    """Roles of a hive of these texts: the hive, and files beside it by name."""

    def roles(text: str, *, trusted: bool = False, **files: str) -> t.Mapping[str, Role]:
        site = tmp_path / "site"
        site.mkdir(exist_ok=True)
        (site / "hive.nix").write_text(text)
        for name, content in files.items():
            (site / name.replace("_", ".")).write_text(content)
        return Nixos(str(REPOSITORY / "nix"), Progress(), {}, trusted=trusted).evaluate(str(site), {}).roles

    return roles


def test_deployment_is_read_without_nixpkgs(hive: Hive, own_store: Path) -> None:
    roles = hive(
        """{
          meta = { nixpkgs = throw "not here"; specialArgs.region = "lax"; nodeSpecialArgs.db.port = 2222; };
          defaults = { pkgs, lib, ... }: {
            environment.systemPackages = [ pkgs.vim ];
            deployment = { tags = [ "all" ]; targetUser = lib.mkDefault "nobody"; };
          };
          web = { name, nodes, region, lib, config, ... }: {
            imports = [ ./hw.nix ];
            time.timeZone = nodes.db.config.time.timeZone;
            deployment = { targetHost = "${name}.example.org"; targetPort = 1234; targetUser = "admin"; };
            deployment.tags = lib.mkAfter [ "web" "infra-${region}" ];
          };
          db = [ { deployment.targetHost = null; } ({ port, ... }: { deployment.targetPort = port; }) ];
        }""",
        # What the configuration decides is not looked at where it says nothing of `deployment`.
        hw_nix="""{ config, lib, modulesPath, ... }: {
          imports = [ (modulesPath + "/installer/scan/not-detected.nix") "${modulesPath}/profiles/qemu-guest.nix" ];
          options.mine = lib.mkOption { };
          config = lib.mkMerge [
            (lib.mkIf config.mine.enable { boot.loader.grub.device = config.mine.device; })
            (lib.mkIf true { deployment.tags = lib.mkIf false [ "never" ]; })
          ];
        }""",
    )
    assert roles["web"].tags == ("all", "web", "infra-lax")
    assert roles["web"].machine == RoleMachine("web.example.org", "admin", 1234)
    assert roles["db"].tags == ("all",)
    assert roles["db"].machine == RoleMachine(None, "nobody", 2222)
    assert nothing_in(own_store)


def test_what_wins_is_what_nixos_would_take(hive: Hive) -> None:
    roles = hive(
        """{
          defaults = { lib, ... }: { deployment = lib.mkMerge [
            { targetHost = lib.mkDefault "a"; tags = lib.mkDefault [ "weak" ]; }
            { targetHost = lib.mkForce "c"; }
          ]; };
          one = { deployment = { targetHost = "b"; tags = [ "x" "y" "x" ]; }; };
          other = { config.deployment.tags = [ ]; };
          third = ./third.nix;
        }""",
        third_nix="{ ... }: { }",
    )
    assert [roles[name].machine.host for name in ("one", "other", "third")] == ["c"] * 3
    assert [roles[name].tags for name in ("one", "other", "third")] == [("x", "y"), (), ("weak",)]


DEPENDS = """{
  meta.nixpkgs = NIXPKGS;
  web = {
    imports = [ ({ config, ... }: if config.big then { } else { }) ];
    deployment = { tags = [ "big" ]; targetHost = "web"; targetUser = "root"; targetPort = 22; };
  };
}"""


def test_what_depends_on_the_configuration_takes_nixpkgs(hive: Hive, own_store: Path) -> None:
    text = DEPENDS.replace("NIXPKGS", STUB)
    with pytest.raises(EvaluationError, match=r"hive\.nix does not evaluate") as refused:
        hive(text)
    assert "'deployment' says depends on 'config', which takes Nixpkgs: 'trust: true'" in refused.value.message
    trusted = hive(text, trusted=True)["web"]
    # Its own name is what colmena has where nothing is said.
    assert (trusted.tags, trusted.machine) == (("big",), RoleMachine(None, "root", 22))


def test_words_beside_a_hive_say_it_without_reading_it(hive: Hive) -> None:
    beside = "roles: {web: {tags: [big, web], machine: {host: 192.0.2.7}}}"
    role = hive(DEPENDS, composition_yml=beside)["web"]
    assert (role.tags, role.machine) == (("big", "web"), RoleMachine("192.0.2.7"))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ('tags = "web"', "hive.nix: roles.web.tags: 'web' is not of type 'array'"),
        ('tags = [ "two words" ]', "hive.nix: roles.web.tags[0]: 'two words' does not match"),
        ('targetPort = "ssh"', "hive.nix: roles.web.machine.port: 'ssh' is not of type 'integer'"),
    ],
)
def test_wrong_values_are_refused(hive: Hive, said: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        hive(f"{{ web.deployment.{said}; }}")


def test_names_that_are_no_labels(hive: Hive) -> None:
    roles = hive('{ "gamma.tld" = { }; web_1 = { }; Big = { }; "10" = { }; }')
    assert sorted(roles) == ["10", "Big", "gamma.tld", "web_1"]
    for name in ("a b", "user@host", "../up", "größe", "a" * 64):
        with pytest.raises(InputError, match=re.escape(f"roles.{name}: not the name of a role, expected letters")):
            hive(f'{{ "{name}" = {{ }}; }}')
