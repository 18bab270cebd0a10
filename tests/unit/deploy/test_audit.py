# SPDX-License-Identifier: GPL-3.0-or-later
"""Audits: where affected packages are, on images, releases and nodes that are only described."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.deploy.audit import audit
from ansible_collections.immutable.compose.plugins.module_utils.deploy.engine import Engine
from ansible_collections.immutable.compose.plugins.module_utils.images.packages import from_store_paths
from ansible_collections.immutable.compose.plugins.module_utils.model import codec
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Seen
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image, Package
from ansible_collections.immutable.compose.plugins.module_utils.model.release import Release
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

REPOSITORY = Path(__file__).parents[3]
OLD, NEW = (f"{letter * 32}-web-database" for letter in "01")
PMIX = {"id": "CVE-2023-41915", "package": ["openpmix", "pmix"], "versions": ["< 4.2.6", ">= 5.0.0 < 5.0.1"]}
#: What the composition's lock has, whatever its version.
REDIS = {"id": "REDIS", "package": "redis-server"}


class Site:
    """A deployment of ``web`` whose state directory and observations are made up."""

    def __init__(self, state: str) -> None:
        nodes = Node("database", "database", 1), Node("proxy", "proxy", 1)
        deployment = Deployment("lab", str(REPOSITORY / "compositions/web"), "debian", "nspawn", nodes, state=state)
        self.state = state
        self.runs: dict[str, Seen] = {"database": Seen("absent"), "proxy": Seen("absent")}
        self.deployment = deployment

    def image(self, identity: str, *packages: Package) -> None:
        image = Image("database", "debian", identity, "amd64", {}, packages=packages)
        codec.write(f"{self.state}/roots/{identity}/image.json", image)

    def release(self, number: int, identity: str) -> None:
        release = Release(number, "lab", "", None, {"database": identity}, {"database": "database"}, {}, "", "")
        codec.write(f"{self.state}/releases/{number}.json", release)

    def audit(self, *advisories: t.Any, batch: t.Sequence[str] = ("database", "proxy")) -> dict[str, t.Any]:
        engine = Engine(self.deployment, batch, str(REPOSITORY / "nix"), Progress())
        engine.platform.observe = lambda nodes: self.runs  # type: ignore[method-assign]
        before = sorted(Path(self.state).rglob("*"))
        result = codec.encode(audit(engine, list(advisories)))
        assert sorted(Path(self.state).rglob("*")) == before
        return result


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """The database's image was rebuilt: release 1 has the affected package, release 2 and the node have not."""
    site = Site(str(tmp_path))
    site.image(OLD, *from_store_paths([f"/gnu/store/{'a' * 32}-openpmix-4.2.2"]))
    site.image(NEW, *from_store_paths([f"/gnu/store/{'b' * 32}-openpmix-4.2.6"]))
    site.release(1, OLD)
    site.release(2, NEW)
    return site


def test_a_rebuild_clears_the_node_but_not_the_kept_release(site: Site) -> None:
    site.runs["database"] = Seen("running", OLD)
    result = site.audit(PMIX)
    assert result["findings"] == [
        {
            "advisory": "CVE-2023-41915",
            "package": "openpmix",
            "version": "4.2.2",
            "roles": [],
            "images": [OLD],
            "releases": [1],
            "nodes": ["database"],
        }
    ]
    assert (result["affected"], result["changed"], result["failed_nodes"]) == (True, False, ["database"])
    assert result["nodes"]["database"]["message"] == "CVE-2023-41915 (openpmix 4.2.2)"
    site.runs["database"] = Seen("running", NEW)
    result = site.audit(PMIX)
    assert (result["findings"][0]["releases"], result["findings"][0]["nodes"]) == ([1], [])
    assert (result["affected"], result["failed_nodes"]) == (True, [])
    assert result["nodes"] == {"database": {"ok": True, "message": "", "image": NEW}}


def test_the_composition_is_looked_at_before_anything_is_built(site: Site) -> None:
    (finding,) = site.audit(REDIS)["findings"]
    assert finding["roles"] == ["database"]
    assert (finding["images"], finding["releases"], finding["nodes"]) == ([], [], [])


def test_nothing_affected(site: Site) -> None:
    site.runs["database"] = Seen("stopped", OLD)
    (Path(site.state) / f"roots/{OLD}+raw").symlink_to("/no/disk.raw")
    result = site.audit({"id": "X", "package": "no-such-package"})
    assert (result["affected"], result["findings"], result["failed_nodes"]) == (False, [], [])
    assert result["table"] == ["deployment lab:", "nothing is affected"]


def test_what_nobody_knows_is_no_good_news(site: Site) -> None:
    site.runs["database"] = Seen("running", f"{'2' * 32}-web-database")
    site.runs["proxy"] = Seen("running")
    site.image("empty")
    (Path(site.state) / "roots/broken").mkdir()
    site.release(3, f"{'3' * 32}-web-database")
    result = site.audit(PMIX)
    assert result["failed_nodes"] == ["database", "proxy"]
    assert "nobody knows" in result["nodes"]["proxy"]["message"]
    for text in ("image broken", "image empty", "release 3", "node database", "node proxy"):
        assert [line for line in result["unknown"] if line.startswith(text)], text
        assert [line for line in result["table"] if f"not known: {text}" in line], text


def test_what_is_the_compositions_own_is_never_simply_clean(site: Site) -> None:
    """An advisory of a distribution is not about it, whatever its name; one of your own is."""
    site.image(NEW, Package("openssl", "3.0", sha256="ab" * 32), Package("our", "1.2", sha256="ab" * 32))
    site.image(OLD, Package("our", "1.2", sha256="ab" * 32))
    debian = {"package": {"ecosystem": "Debian:12", "name": "openssl"}, "versions": ["3.0"]}
    result = site.audit({"id": "OSV-1", "affected": [debian]})
    assert (result["affected"], result["findings"]) == (False, [])
    assert result["table"][1:] == [
        "nothing is affected",
        "not known: our 1.2: it is the composition's own, and no advisory names it",
        "not known: openssl 3.0: it is the composition's own, and no advisory names it",
    ]
    result = site.audit({"id": "OURS-1", "package": ["our", "openssl"], "versions": "< 1.3"})
    assert [(each["package"], each["images"]) for each in result["findings"]] == [("our", [OLD, NEW])]
    assert result["unknown"] == []


def test_a_part_of_the_deployment_and_nodes_that_should_be_gone(site: Site) -> None:
    site.runs |= {"database": Seen("running", OLD), "gone": Seen("running", OLD)}
    assert site.audit(PMIX)["findings"][0]["nodes"] == ["database", "gone"]
    assert site.audit(PMIX, batch=["proxy"])["findings"][0]["nodes"] == ["gone"]


def test_the_table_is_for_people(site: Site) -> None:
    site.runs = {f"node{number}": Seen("running", OLD) for number in range(1, 9)}
    _deployment, head, row = site.audit(PMIX)["table"]
    assert head.split() == ["advisory", "package", "version", "images", "composition", "releases", "nodes"]
    assert " ".join(row.split()) == "CVE-2023-41915 openpmix 4.2.2 1 - 1 node1 node2 node3 node4 node5 and 3 more"
    assert head.index("nodes") == row.index("node1")
