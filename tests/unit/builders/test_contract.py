"""What holds for every builder in the registry."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import yaml

from ansible_collections.immutable.compose.plugins.inventory import composition
from ansible_collections.immutable.compose.plugins.module_utils.builders.base import Builder
from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.builder import FORMATS as DEBIAN_FORMATS
from ansible_collections.immutable.compose.plugins.module_utils.builders.registry import BUILDERS
from ansible_collections.immutable.compose.plugins.module_utils.describe.names import is_host_name
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.image import FORMATS
from ansible_collections.immutable.compose.plugins.module_utils.platforms.registry import PLATFORMS
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import REPOSITORY

#: Who makes no image that boots from a partition, with a composition, and what it is told to make.
UNINSTALLED = {
    "guix": ("compositions/nfs-guix", {}),
    "nixos": ("compositions/nfs-nixos", {}),
    "nxc": ("tests/unit/builders/nxc_project", {"flavour": "of-the-project"}),
}

every_builder = pytest.mark.parametrize("builder", BUILDERS.values(), ids=BUILDERS)


@every_builder
def test_declares_itself(builder: type[Builder]) -> None:
    assert BUILDERS[builder.name] is builder
    assert is_host_name(builder.name)
    assert not inspect.isabstract(builder)


@every_builder
def test_has_a_page_of_the_docs(builder: type[Builder]) -> None:
    page = (REPOSITORY / f"docs/builders/{builder.name}.md").read_text()
    assert builder.name in page.splitlines()[0].lower()


@every_builder
def test_options_are_described_in_plugin_style_and_on_the_page(builder: type[Builder]) -> None:
    page = (REPOSITORY / f"docs/builders/{builder.name}.md").read_text()
    for name, option in builder.options.items():
        assert name.isidentifier() and name != "name"
        assert option.type in (bool, int, str, list), name
        assert option.description.endswith("."), name
        assert f"`{name}`" in page, name


def test_inventory_plugin_has_a_default_that_exists() -> None:
    option = yaml.safe_load(composition.DOCUMENTATION)["options"]["builder"]
    assert option["default"] in BUILDERS
    assert option.get("choices", sorted(BUILDERS)) == sorted(BUILDERS)


def test_formats_are_those_that_platforms_ask_for() -> None:
    assert {format_ for platform in PLATFORMS.values() for format_ in platform.formats} <= set(FORMATS)


def test_builders_make_an_image_that_boots_from_a_partition_or_refuse() -> None:
    assert {*UNINSTALLED, "debian"} == set(BUILDERS) and "installed" in DEBIAN_FORMATS


@pytest.mark.parametrize("name", UNINSTALLED)
def test_what_is_not_made_is_refused_before_anything_is_evaluated(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kadeploy's machines would be reserved for an image that they cannot boot."""
    path, options = UNINSTALLED[name]
    instance = BUILDERS[name](str(REPOSITORY / "nix"), Progress(), options)
    monkeypatch.setenv("PATH", str(tmp_path))
    what = (str(REPOSITORY / path), {}, ["server"], ["installed"])
    for ask in (
        lambda: instance.identify(*what),
        lambda: instance.is_built(*what),
        lambda: instance.build(*what, str(tmp_path / "roots")),
        lambda: instance.check_reproducible(*what),
    ):
        with pytest.raises(InputError, match=f"the builder '{name}' makes no image in format installed: it has "):
            ask()
    assert list(tmp_path.iterdir()) == []


@every_builder
def test_a_directory_that_is_no_composition_is_refused_by_its_path(builder: type[Builder], tmp_path: Path) -> None:
    instance = builder(str(REPOSITORY / "nix"), Progress())
    for ask in (
        lambda: instance.evaluate(str(tmp_path), {}),
        lambda: instance.identify(str(tmp_path), {}, ["node"], ["root"]),
        lambda: instance.is_built(str(tmp_path), {}, ["node"], ["root"]),
        lambda: instance.build(str(tmp_path), {}, ["node"], ["root"], str(tmp_path / "roots")),
        lambda: instance.check_reproducible(str(tmp_path), {}, ["node"], ["root"]),
    ):
        with pytest.raises(InputError, match=str(tmp_path)):
            ask()
    assert list(tmp_path.iterdir()) == []
