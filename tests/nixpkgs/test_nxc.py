"""What NixOS Compose itself makes of the examples with a real Nixpkgs, and whether the builder nxc understands it."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.nix.nix import Nix
from ansible_collections.immutable.compose.plugins.module_utils.builders.nxc.builder import Nxc
from ansible_collections.immutable.compose.plugins.module_utils.builders.nxc.flavours import FLAVOURS
from ansible_collections.immutable.compose.plugins.module_utils.builders.nxc.info import read_compose_info
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import EXAMPLE, ROOT

ComposeInfoOf = t.Callable[..., tuple[str, str]]


@pytest.fixture
def compose_info(nixpkgs: str) -> ComposeInfoOf:
    """Derivation and text of compose-info.json of a flavour."""

    def evaluate(flavour: str, extra: str = "", composition: str = f"{EXAMPLE}/composition.nix") -> tuple[str, str]:
        (nxc,) = (ROOT / ".cache/venv/nxc").glob("lib/*/site-packages/nix")
        nix = Nix(Progress(), {"extra-experimental-features": "nix-command flakes"})
        arguments = {
            "nixpkgs": nixpkgs,
            "nxc": str(nxc),
            "composition": composition,
            "flavour": flavour,
            "extra": extra,
        }
        project = str(Path(__file__).with_name("project.nix"))
        (derivation,) = nix.instantiate(project, ["info"], arguments, nixpkgs=True)
        text = nix.text_of(derivation)
        assert text is not None
        return derivation, text

    return evaluate


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_flavour_is_understood_before_it_is_built(flavour: str, compose_info: ComposeInfoOf) -> None:
    derivation, text = compose_info(flavour)
    read = Nxc(str(ROOT / "nix"), Progress())._reader(derivation)
    info = read_compose_info(text, "composition", flavour, read)
    assert sorted(info.roles) == ["node", "server"]
    for built in info.roles.values():
        assert set(built.files) == FLAVOURS[flavour]
        assert "-nixos-system-" in built.identity
    assert read(info.test_script).startswith("start_all()")


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_module_goes_together_with_every_flavour(flavour: str, compose_info: ComposeInfoOf) -> None:
    assert compose_info(flavour, str(ROOT / "nix/nixos/module.nix")) != compose_info(flavour)


@pytest.mark.parametrize("flavour", ["vm", "g5k-image"])
def test_file_systems_are_compositions_of_nixos_compose(
    flavour: str, file_system: str, compose_info: ComposeInfoOf
) -> None:
    derivation, text = compose_info(flavour, composition=f"{file_system}/composition.nix")
    info = read_compose_info(text, "composition", flavour, Nxc(str(ROOT / "nix"), Progress())._reader(derivation))
    assert "client" in info.roles and len(info.roles) > 1
