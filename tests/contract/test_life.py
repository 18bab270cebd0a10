# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of nodes that are well."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Seen

from .conftest import SiteOf
from .ground import Ground, wait_until
from .site import Site


def test_create(site_of: SiteOf) -> None:
    site = site_of()
    assert site.observed() == {"web1": Seen("absent"), "web2": Seen("absent")}
    assert site.plan() == {"web1": "create", "web2": "create"}
    result = site.deploy()
    assert result["failed_nodes"] == [] and result["changed"]
    assert site.runs() == {"web1": "v1", "web2": "v1"}
    assert site.release() == 1


def test_observe_says_what_is_true(site: Site, ground: Ground) -> None:
    seen = site.observed()
    assert {(each.state, each.identity, each.verified) for each in seen.values()} == {("running", "v1", "v1")}
    assert seen["web1"].document and seen["web1"].document != seen["web2"].document
    ground.end(site.deployment, "web1")
    ended = "stopped" if ground.sees_ends else "silent"
    assert {name: each.state for name, each in site.observed().items()} == {"web1": ended, "web2": "running"}
    assert site.observed()["web1"].verified == "v1"


def test_keep(site: Site) -> None:
    before = site.boots()
    result = site.deploy()
    assert (result["changed"], result["failed_nodes"]) == (False, [])
    assert site.boots() == before
    assert site.release() == 1


def test_replace(site: Site) -> None:
    before = site.boots()
    site.means = "v2"
    assert site.plan() == {"web1": "replace", "web2": "replace"}
    assert site.runs() == {"web1": "v1", "web2": "v1"}
    site.deploy()
    assert site.runs() == {"web1": "v2", "web2": "v2"}
    assert not {boot.number for boot in before.values()} & {boot.number for boot in site.boots().values()}
    assert site.release() == 2
    assert set(site.plan().values()) == {"keep"}


def test_replace_on_demand(site: Site) -> None:
    before = site.boots()
    result = site.deploy(replace=["web2"])
    assert result["nodes"]["web2"]["changed"] and not result["nodes"]["web1"]["changed"]
    after = site.boots()
    assert after["web1"] == before["web1"]
    assert after["web2"].identity == "v1" and after["web2"] != before["web2"]
    assert site.release() == 1


def test_another_document_that_is_read_at_boot_only(site: Site) -> None:
    before = site.boots()
    web1, web2 = site.deployment.nodes
    site.set(nodes=(web1, replace(web2, parameters={"colour": "red"})))
    assert site.plan() == {"web1": "keep", "web2": "replace"}
    site.deploy()
    after = site.boots()
    assert after["web1"] == before["web1"] and after["web2"] != before["web2"]
    assert set(site.plan().values()) == {"keep"}


def test_refresh_of_many(site_of: SiteOf) -> None:
    site = site_of(3)
    site.deploy()
    before = site.boots()
    site.count(4)
    assert site.plan() == {"web1": "refresh", "web2": "refresh", "web3": "refresh", "web4": "create"}
    site.deploy()
    assert sorted(site.told) == ["web1", "web2", "web3"]
    after = site.boots()
    assert {name: after[name] for name in before} == before
    assert set(site.plan().values()) == {"keep"}
    # What a node was told while it ran holds for its next boot, too.
    site.deploy(replace=["web1"])
    assert set(site.plan().values()) == {"keep"}


def test_two_deployments_side_by_side(site_of: SiteOf) -> None:
    one, two = site_of(1, "one"), site_of(1, "two")
    one.deploy()
    two.means = "v2"
    two.deploy()
    assert (one.runs(), two.runs()) == ({"web1": "v1"}, {"web1": "v2"})
    before = two.boots()
    one.means = "v3"
    one.deploy()
    one.destroy(data=True)
    assert (one.runs(), two.boots()) == ({}, before)
    assert two.plan() == {"web1": "keep"}


def test_going_back_to_a_release(site_of: SiteOf) -> None:
    site = site_of(1)
    site.deploy()
    site.means = "v2"
    site.deploy()
    site.built.clear()
    site.deploy(release="previous")
    assert site.runs() == {"web1": "v1"}
    assert site.built == []
    assert site.observed()["web1"].verified == "v1"


def test_prune_keeps_what_is_needed(site_of: SiteOf) -> None:
    site = site_of(1, keep=2)
    for site.means in ("v1", "v2", "v3"):
        site.deploy()
    kept = site.engine().releases
    assert [kept.has_image(identity) for identity in ("v1", "v2", "v3")] == [False, True, True]
    site.deploy(release="previous")
    assert site.runs() == {"web1": "v2"}


def test_console(site: Site, ground: Ground) -> None:
    platform = site.engine().platform
    node = platform.deployment.node("web1")
    if ground.has_console:
        wait_until(lambda: "boots v1" in platform.console(node))  # it was started, and may be at it
    said = platform.console(node)
    assert bool(said) == ground.has_console
    ground.end(site.deployment, "web1")
    assert "boots v1" in platform.console(node) or not ground.has_console
