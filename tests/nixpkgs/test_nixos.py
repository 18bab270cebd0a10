"""The builder nixos with a real Nixpkgs: every format, both kinds of initrd."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.nix.nix import Nix
from ansible_collections.immutable.compose.plugins.module_utils.builders.nixos.builder import Nixos
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Role, RoleMachine
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import INITRDS, ROOT

ROLES = ["node", "server"]
#: By the formats of a build: one of each system, and all of a disk.
FORMATS = ("root", "oci", "root kernel initrd raw qcow2", "kexec", "tar", "iso", "vma")
VARIANTS = ("disk", "memory", "installed", "iso", "proxmox")


@pytest.mark.parametrize("formats", FORMATS)
def test_every_format_evaluates_to_derivations(formats: str, example: str, nixpkgs: str) -> None:
    builder = Nixos(str(ROOT / "nix"), Progress(), {"nixpkgs": nixpkgs})
    identities = builder.identify(example, {}, ROLES, formats.split())
    assert sorted(identities) == ROLES
    for role, identity in identities.items():
        assert identity[33:].startswith(f"nixos-system-{role}-")
    assert builder.is_built(example, {}, ROLES, formats.split()) == dict.fromkeys(ROLES, False)


@pytest.mark.parametrize("formats", ["root kernel initrd", "tar"])
def test_file_systems_evaluate_to_derivations(formats: str, file_system: str, nixpkgs: str) -> None:
    builder = Nixos(str(ROOT / "nix"), Progress(), {"nixpkgs": nixpkgs})
    roles = list(builder.evaluate(file_system, {}).roles)
    assert builder.is_built(file_system, {}, roles, formats.split()) == dict.fromkeys(roles, False)


@pytest.mark.parametrize("kernel", ["6_6", "6_12"])
def test_modules_of_file_systems_are_for_the_kernel_of_their_node(kernel: str, file_system: str, nixpkgs: str) -> None:
    arguments = {"nixpkgs": nixpkgs, "composition": f"{file_system}/composition.nix", "kernel": kernel}
    found: dict[str, t.Any] = Nix(Progress(), {"extra-experimental-features": "nix-command flakes"}).evaluate(
        dict, str(Path(__file__).with_name("modules.nix")), "client", arguments, store=True
    )
    assert found["failed"] == []
    # OrangeFS' module is one of the kernel itself.
    assert all(f"KDIR={found['kernel']}/lib/modules/{found['version']}/build" in flags for flags in found["modules"])
    assert len(found["modules"]) == (1 if "beegfs" in found["loaded"] else 0)
    assert {"beegfs", "orangefs"} & set(found["loaded"])


@pytest.mark.parametrize("formats", FORMATS)
def test_a_configuration_of_another_machine_goes_into_every_format(formats: str, nixpkgs: str) -> None:
    builder = Nixos(str(ROOT / "nix"), Progress(), {"nixpkgs": nixpkgs})
    machine = str(Path(__file__).with_name("machine"))
    assert builder.is_built(machine, {}, ["web"], formats.split()) == {"web": False}


@pytest.mark.parametrize("initrd", INITRDS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_what_counts_at_boot(variant: str, initrd: str, nixpkgs: str) -> None:
    arguments = {"nixpkgs": nixpkgs, "variant": variant, "initrd": initrd}
    found: dict[str, t.Any] = Nix(Progress()).evaluate(
        dict, str(Path(__file__).with_name("config.nix")), "config", arguments, store=True
    )
    assert found["failed"] == []
    assert found["hostKeys"] == []
    assert "HostKey /run/compose/ssh/host_key\nHostCertificate /run/compose/ssh/host_key-cert.pub\n" in found["sshd"]
    modules, mounts = found["initrdModules"], found["fileSystems"]
    assert {"virtio_blk", "virtio_pci", "sd_mod", "ahci"} <= set(modules)
    if variant in ("disk", "proxmox"):
        assert mounts["/srv/shared"] == "/dev/disk/by-id/virtio-shared ext4"
    else:
        assert "/srv/shared" not in mounts
        assert any(rule.startswith("d /srv/shared ") for rule in found["tmpfiles"])
    if variant == "disk":
        # The link must be there before and after the change of the root, for /etc/fstab has it.
        assert 'SYMLINK+="compose-root"' in found["udev"]
        assert 'SYMLINK+="compose-root"' in found["udevOfInitrd"]
        assert {"squashfs", "overlay"} <= set(modules)
        assert mounts["/nix/.ro-store"] == "/dev/compose-root squashfs"
    if variant != "installed" and variant != "proxmox":
        assert mounts["/"] == "tmpfs tmpfs"


HIVE = """{
  meta.nixpkgs = NIXPKGS;
  defaults = { lib, ... }: { deployment = { tags = [ "all" ]; targetUser = lib.mkDefault "nobody"; }; };
  web = { lib, name, ... }: {
    deployment = lib.mkMerge [
      { tags = lib.mkBefore [ "web" ]; targetPort = 2222; targetUser = "admin"; targetHost = "elsewhere"; }
      (lib.mkIf false { tags = [ "never" ]; })
      { targetHost = lib.mkForce "${name}.example.org"; }
    ];
  };
  MORE
}"""


def test_a_hive_says_the_same_with_and_without_nixpkgs(nixpkgs: str, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()

    def web(more: str, *, trusted: bool) -> Role:
        (site / "hive.nix").write_text(HIVE.replace("NIXPKGS", nixpkgs).replace("MORE", more))
        return Nixos(str(ROOT / "nix"), Progress(), {}, trusted=trusted).evaluate(str(site), {}).roles["web"]

    without = web("", trusted=False)
    depends = "db = { config, ... }: { deployment.tags = if config.networking.firewall.enable then [ ] else [ ]; };"
    whole = web(depends, trusted=True)
    assert without.machine == whole.machine == RoleMachine("web.example.org", "admin", 2222)
    assert sorted(without.tags) == sorted(whole.tags) == ["all", "web"]
