# SPDX-License-Identifier: GPL-3.0-or-later
"""Users and groups that have other numbers in the image that a node with data is going to boot."""

from __future__ import annotations

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.registry import BUILDERS
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.images.numbers import others
from ansible_collections.immutable.compose.plugins.module_utils.model.numbers import Numbers

from .conftest import Site

OTHERS = "data on data: the user 'bob' is 1000, and 1001 in the new image"


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({"bob": 1000}, {"bob": 1000, "alice": 1001}, []),
        ({"bob": 1000}, {"alice": 1000, "bob": 1001}, ["the user 'bob' is 1000, and 1001 in the new image"]),
        ({"bob": 1000}, {"alice": 1000}, ["the user 'bob' is 1000, which is 'alice' in the new image"]),
        ({"bob": 1000}, {}, []),
        ({"root": 0, "toor": 0}, {"root": 0}, []),
    ],
)
def test_who_has_another_number(old: dict[str, int], new: dict[str, int], found: list[str]) -> None:
    assert others(Numbers(old), Numbers(new)) == found
    assert others(Numbers({}, old), Numbers({}, new)) == [words.replace("user", "group") for words in found]


@pytest.fixture
def site(rack: Site) -> Site:
    """One image is deployed, another one is meant, in which bob has another number."""
    rack.numbers.update(v1={"bob": 1000}, v2={"alice": 1000, "bob": 1001})
    rack.deploy()
    rack.means["web"] = "v2"
    return rack


def test_nodes_that_cannot_map_are_refused_before_anything_is_touched(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BUILDERS["stub"], "how_to_number", "give bob the uid 1000")
    with pytest.raises(InputError) as refused:
        site.deploy()
    assert str(refused.value) == f"web1, web2, web3: {OTHERS}: somebody else would have them; give bob the uid 1000"
    assert site.called("stage", "switch") == []
    with pytest.raises(InputError, match="is 1000, and 1001 in the new image"):  # now the plan knows
        site.deploy()
    site.numbers["v3"] = {"bob": 1000, "alice": 1001}
    site.means["web"] = "v3"
    site.deploy()
    assert set(site.runs().values()) == {"v3"}


def test_nodes_that_map_are_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BUILDERS["stub"], "gives_back", True)
    site.deploy()
    assert f"build: web1, web2, web3: {OTHERS}; the node maps them when it boots" in site.said()
    site.deploy(release="previous")
    back = "data on data: the user 'bob' is 1001, and 1000 in the new image; the node maps them when it boots"
    assert f"plan: web1, web2, web3: {back}" in site.said()


def test_without_data_numbers_do_not_matter(site: Site) -> None:
    site.machines.clear()
    site.deploy()
    assert set(site.runs().values()) == {"v2"}
