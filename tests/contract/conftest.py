# SPDX-License-Identifier: GPL-3.0-or-later
"""Every platform of the registry, each with sites on it."""

from __future__ import annotations

import importlib
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.registry import BUILDERS
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.document import NodeDocument
from ansible_collections.immutable.compose.plugins.module_utils.nodes import refresh
from ansible_collections.immutable.compose.plugins.module_utils.nodes.endpoint import Endpoint
from ansible_collections.immutable.compose.plugins.module_utils.nodes.keys import Keys
from ansible_collections.immutable.compose.plugins.module_utils.platforms.registry import PLATFORMS

from . import lent
from .ground import Ground
from .site import Answers, Maker, Site

SiteOf = t.Callable[..., Site]


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files of images stay."""
    return tmp_path_factory.mktemp("images")


#: Platforms that are asked in several ways: the others, for a command of their own.
WAYS = [pytest.param(f"kadeploy:{way}", marks=pytest.mark.backends) for way in ("command", "grid5000")]


@pytest.fixture(params=[*PLATFORMS, lent.Lent.name, *WAYS])
def ground(
    request: pytest.FixtureRequest, tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> t.Iterator[Ground]:
    """Every platform in turn; one that brings nothing fails here. And one that forgets."""
    name, _colon, way = request.param.partition(":")
    if name in PLATFORMS:
        brought = importlib.import_module(f".platforms.{name}", __package__)
    else:
        monkeypatch.setitem(t.cast("dict[str, t.Any]", PLATFORMS), lent.Lent.name, lent.Lent)
        brought = lent
    made = brought.WAYS[way] if way else brought.GROUND
    ground: Ground = made(tmp_path, images / name, monkeypatch)
    yield ground
    ground.close()


@pytest.fixture
def site_of(
    request: pytest.FixtureRequest, ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> t.Iterator[SiteOf]:
    """Makes deployments of so many nodes, which do not exist yet."""
    name = request.node.callspec.params["ground"].partition(":")[0]
    sites: dict[str, Site] = {}
    monkeypatch.setitem(t.cast("dict[str, t.Any]", BUILDERS), "maker", type("Maker", (Maker,), {"sites": sites}))
    monkeypatch.setattr(
        PLATFORMS[name], "shell", lambda self, node: Answers(sites[self.deployment.composition], node.name)
    )

    def push(node: Node, endpoint: Endpoint, keys: Keys, document: NodeDocument) -> None:
        sites[document.deployment].told.append(node.name)

    monkeypatch.setattr(refresh, "push_document", push)

    def make(count: int = 2, deployment: str = "lab", data: int = 0, **changes: t.Any) -> Site:
        (tmp_path / "state").mkdir(exist_ok=True)
        empty = Deployment(
            deployment,
            deployment,
            "maker",
            name,
            (),
            network=f"10.87.{len(sites)}.0/24",
            state=str(tmp_path / "state" / deployment),
            credentials=ground.credentials,
            fold=ground.fold,
            boot_timeout=60,
        )
        sites[deployment] = site = Site(ground, empty, len(sites) + 1, data=data)
        site.count(count)
        site.set(**changes)
        return site

    yield make
    for site in sites.values():
        site.destroy(data=True)


@pytest.fixture
def site(site_of: SiteOf) -> Site:
    """``web1`` and ``web2``, deployed with the image ``v1``."""
    site = site_of()
    site.deploy()
    return site
