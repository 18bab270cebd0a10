"""What holds for every platform in the registry."""

from __future__ import annotations

import inspect
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.immutable.compose.plugins.inventory import composition
from ansible_collections.immutable.compose.plugins.module_utils.describe.names import is_host_name
from ansible_collections.immutable.compose.plugins.module_utils.describe.options import validate_options
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Seen
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Fold, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.image import FORMATS
from ansible_collections.immutable.compose.plugins.module_utils.platforms.base import Platform
from ansible_collections.immutable.compose.plugins.module_utils.platforms.registry import PLATFORMS
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

DOCS = Path(__file__).resolve().parents[3] / "docs" / "platforms"

every_platform = pytest.mark.parametrize("platform", PLATFORMS.values(), ids=PLATFORMS)
#: Those that ask nobody; the others are asked the same in tests of their own, with a service or a machine to answer.
LOCAL = {
    name: platform for name, platform in PLATFORMS.items() if not platform.environment and not platform.own_addresses
}
every_local_platform = pytest.mark.parametrize("platform", LOCAL.values(), ids=LOCAL)


def deployed(platform: type[Platform], state: Path) -> Platform:
    nodes = (Node("server", "server", 1, "10.87.0.1"), Node("node1", "node", 1, "10.87.1.1"))
    fold = Fold("racks", str(state.with_name("racks")), {"rack1": ""}) if platform.is_fold else None
    lab = Deployment("lab", "/composition", "debian", platform.name, nodes, state=str(state), fold=fold)
    return platform(lab, Progress())


@every_platform
def test_declares_itself(platform: type[Platform]) -> None:
    assert PLATFORMS[platform.name] is platform
    assert is_host_name(platform.name)
    assert not inspect.isabstract(platform)
    assert platform.formats
    assert set(platform.formats) <= set(FORMATS)
    assert ("kernel" in platform.formats) <= platform.boots_kernel


@every_platform
def test_options_are_described_and_defaults_fit(platform: type[Platform]) -> None:
    for name, option in platform.options.items():
        assert name.isidentifier() and name != "name"
        assert option.type in (bool, int, str, list), name
        assert option.type is str or not option.choices, name
        assert option.description.endswith("."), name
        if option.default is not None:
            assert validate_options(platform, {name: option.default}, "x", "platform") == {name: option.default}


@every_platform
def test_page_of_the_docs_names_every_option_and_what_it_may_be(platform: type[Platform]) -> None:
    page = (DOCS / f"{platform.name}.md").read_text()
    words = [*platform.options, *(word for option in platform.options.values() for word in option.choices)]
    assert [word for word in words if f"`{word}`" not in page] == []


@every_platform
def test_page_of_the_docs_names_every_credential(platform: type[Platform]) -> None:
    page = (DOCS / f"{platform.name}.md").read_text()
    words = [*platform.environment, *platform.environment.values(), *platform.host_variables.values()]
    assert [word for word in words if f"`{word}`" not in page] == []
    assert set(platform.public_credentials) <= set(platform.environment)
    assert set(platform.host_variables) <= set(platform.options)


@every_platform
def test_inventory_plugin_names_it(platform: type[Platform]) -> None:
    option = yaml.safe_load(composition.DOCUMENTATION)["options"]["platform"]
    assert platform.name in option.get("choices", [platform.name])
    assert f"V({platform.name})" in " ".join(option["description"])


@every_platform
def test_unknown_option_is_refused(platform: type[Platform]) -> None:
    with pytest.raises(InputError, match=f"unknown option 'memroy' of platform '{platform.name}'"):
        validate_options(platform, {"memroy": 1}, "x.compose.yml", "platform")


@every_local_platform
def test_nodes_differ_and_stay_as_they_are(platform: type[Platform], tmp_path: Path) -> None:
    def facts() -> list[t.Any]:
        instance = deployed(platform, tmp_path / "state")
        return [(instance.endpoint(node), instance.interfaces(node)) for node in instance.deployment.nodes]

    server, node1 = facts()
    assert server[0] != node1[0]
    assert server[1] != node1[1]
    assert facts() == [server, node1]
    for _endpoint, interfaces in (server, node1):
        for interface in interfaces:
            assert bool(interface.match.mac) != bool(interface.match.name)
            assert bool(interface.address) != interface.dhcp
    assert [entry.address for entry in node1[1] if entry.address] == ["10.87.1.1/16"]


@every_local_platform
def test_asking_writes_nothing(platform: type[Platform], tmp_path: Path) -> None:
    state = tmp_path / "state"
    instance = deployed(platform, state)
    absent = Seen("absent")
    assert instance.observe(instance.deployment.nodes) == {"server": absent, "node1": absent}
    assert instance.console(instance.deployment.nodes[0]) == ""
    assert not state.exists()


@every_local_platform
def test_nothing_to_do_is_no_change(platform: type[Platform], tmp_path: Path) -> None:
    instance = deployed(platform, tmp_path / "state")
    told: list[str] = []
    outcomes = instance.remove(["server", "gone"], data=True, tell=lambda name, outcome: told.append(name))
    assert {name: (outcome.ok, outcome.changed) for name, outcome in outcomes.items()} == {
        "server": (True, False),
        "gone": (True, False),
    }
    assert sorted(told) == ["gone", "server"]
    assert instance.switch([], lambda name, outcome: None) == {}
    assert instance.stage([]) is False
    instance.prune(set())
    instance.teardown()
    instance.teardown()
