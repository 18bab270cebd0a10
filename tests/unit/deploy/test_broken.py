# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment whose composition is not known: what goes on, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.deploy.planning import Wish
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError

from .conftest import Site


@pytest.fixture
def broken(rack: Site) -> Site:
    rack.deploy()
    rack.set(broken="/site/x.compose.yml: composition: /c/web: no such directory")
    return rack


def test_the_composition_is_refused_with_the_cause(broken: Site) -> None:
    with pytest.raises(InputError, match="x.compose.yml: composition: /c/web: no such directory\nUntil .* destroyed"):
        broken.deploy()
    assert broken.called("stage", "switch", "remove") == []


def test_releases_are_not(broken: Site) -> None:
    plan = broken.transaction().plan(Wish(release="current"), hold=True)
    assert {step.action for step in plan.nodes.values()} == {"keep"}


def test_nothing_is_retired(broken: Site) -> None:
    """Its nodes are those of a release: what is beside them may be a part of the deployment, too."""
    broken.set(nodes=broken.deployment.nodes[:2])
    plan = broken.transaction().plan(Wish(release="current", retire=True), hold=True)
    assert "web3" in broken.machines and set(plan.nodes) == {"web1", "web2"}


def test_nodes_are_where_the_release_has_them(broken: Site) -> None:
    """An inventory that counts only does not know where blocks of other roles begin."""
    before = {node.name: (node.index, node.address) for node in broken.deployment.nodes}
    broken.set(nodes=tuple(replace(node, index=9, address="10.99.0.9") for node in broken.deployment.nodes))
    after = broken.engine().deployment
    assert {node.name: (node.index, node.address) for node in after.nodes} == before
