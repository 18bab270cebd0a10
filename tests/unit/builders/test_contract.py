"""What holds for every builder in the registry."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import yaml

from ansible_collections.immutable.compose.plugins.inventory import composition
from ansible_collections.immutable.compose.plugins.module_utils.builders.base import Builder
from ansible_collections.immutable.compose.plugins.module_utils.builders.registry import BUILDERS
from ansible_collections.immutable.compose.plugins.module_utils.describe.names import is_host_name
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.image import FORMATS
from ansible_collections.immutable.compose.plugins.module_utils.platforms.registry import PLATFORMS
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import REPOSITORY

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
