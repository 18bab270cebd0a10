# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of nodes that are not well, do not answer, or cannot be started."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Limit

from .conftest import SiteOf
from .ground import BROKEN, Ground
from .site import ILL, Site


@pytest.mark.parametrize("image", [BROKEN, ILL])
def test_what_fails_goes_back(site: Site, image: str) -> None:
    site.means = image
    result = site.deploy()
    assert result["failed_nodes"] == ["web1", "web2"]
    assert {node["back_on"] for node in result["nodes"].values()} == {"v1"}, result
    assert site.runs() == {"web1": "v1", "web2": "v1"}
    assert site.release() == 1
    site.means = "v1"
    before = site.boots()
    assert site.deploy()["failed_nodes"] == []
    assert site.boots() == before


def test_what_was_never_verified_is_stopped(site_of: SiteOf) -> None:
    site = site_of()
    site.means = ILL
    assert site.deploy()["failed_nodes"] == ["web1", "web2"]
    assert site.runs() == {}
    assert {(seen.state, seen.verified) for seen in site.observed().values()} == {("stopped", None)}
    site.means = "v1"
    assert site.deploy()["failed_nodes"] == []
    assert site.runs() == {"web1": "v1", "web2": "v1"}


def test_silent_is_left_alone(site: Site) -> None:
    site.set(boot_timeout=1)
    site.silent.add("web2")
    before = site.boots()
    result = site.deploy()
    assert result["failed_nodes"] == ["web2"]
    assert site.boots() == before
    assert site.release() == 1


def test_silent_is_replaced_where_the_deployment_says_so(site: Site) -> None:
    site.set(boot_timeout=1, silent="replace")
    site.silent.add("web2")
    before = site.boots()
    site.deploy()
    site.silent.clear()
    after = site.boots()
    assert after["web1"] == before["web1"] and after["web2"] != before["web2"]
    assert site.deploy()["failed_nodes"] == []


def test_what_has_ended_is_started_again(site: Site, ground: Ground) -> None:
    before = site.boots()
    ground.end(site.deployment, "web2")
    if not ground.sees_ends:
        site.set(boot_timeout=1, silent="replace")
    assert site.plan() == {"web1": "keep", "web2": "replace" if ground.sees_ends else "keep"}
    assert site.deploy()["failed_nodes"] == []
    assert site.boots()["web1"] == before["web1"]
    assert site.runs() == {"web1": "v1", "web2": "v1"}


def test_what_ends_is_not_waited_for(site: Site, ground: Ground) -> None:
    if not ground.sees_ends:
        site.set(boot_timeout=3)
    site.means = "v2"
    site.dying.add("web2")
    start = time.monotonic()
    result = site.deploy()
    if ground.sees_ends:
        assert time.monotonic() - start < site.deployment.boot_timeout
        assert "it was shut down, or ended by itself" in result["nodes"]["web2"]["message"]
    assert site.runs() == {"web1": "v1", "web2": "v1"}


def test_no_address_is_refused_before_anything_is_touched(site: Site) -> None:
    before = site.boots()
    web1, web2 = site.deployment.nodes
    site.set(nodes=(web1, replace(web2, name="other", address=None)))
    site.means = "v2"
    with pytest.raises(ComposeError, match="other.* has no address"):
        site.deploy()
    site.set(nodes=(web1, web2))
    assert site.boots() == before


def test_all_that_is_wrong_is_told_at_once(site_of: SiteOf, ground: Ground) -> None:
    site = site_of(3)
    whole = site.deployment.nodes
    spoilt, words = ground.spoil(site.deployment, whole[1])
    site.set(nodes=(replace(whole[0], address=None), spoilt, whole[2]))
    with pytest.raises(ComposeError) as refused:
        site.deploy()
    site.set(nodes=whole)
    # Else it could not be destroyed, either: what a newer version has written is nobody's to remove.
    shutil.rmtree(Path(site.deployment.state) / "nodes", ignore_errors=True)
    first, *lines = str(refused.value).splitlines()
    assert "2 problems. Nothing was touched" in first
    assert any("web1" in line and " has no address" in line for line in lines), lines
    assert any("web2" in line and words in line for line in lines), lines
    assert "web3" not in str(refused.value) and site.runs() == {}


def test_after_a_wave_that_fails_the_others_are_left_alone(site_of: SiteOf) -> None:
    site = site_of(3)
    site.set(at_most={"web": Limit(tuple(site.names), 1)})
    site.deploy()
    before = site.boots()
    site.means = ILL
    result = site.deploy()
    assert set(result["failed_nodes"]) == {"web1", "web2", "web3"}
    after = site.boots()
    assert after["web1"].identity == "v1" and after["web1"] != before["web1"]
    assert (after["web2"], after["web3"]) == (before["web2"], before["web3"])


def test_a_run_that_fails_takes_each_node_back_to_its_own_image(site: Site) -> None:
    """A node waits for its turn, and the next run comes before that."""
    site.means = "v2"
    assert site.deploy("web1")["failed_nodes"] == []
    different = {"web1": "v2", "web2": "v1"}
    assert site.runs() == different
    site.means = ILL
    assert site.deploy()["failed_nodes"] == ["web1", "web2"]
    assert site.runs() == different
    release = site.engine().releases.find("current")
    assert {name: release.image(name, role) for name, role in release.nodes.items()} == different
    site.means = "v3"
    site.deploy()
    assert site.deploy(release=str(release.number))["failed_nodes"] == []
    assert site.runs() == different


def test_another_round(site: Site) -> None:
    site.set(retries=1)
    site.means = "v2"
    site.ill["web2"] = None  # with whatever it boots first
    before = site.boots()
    assert site.deploy()["failed_nodes"] == []
    assert site.runs() == {"web1": "v2", "web2": "v2"}
    assert "round 2 of 2: booting again: web2" in site.said()
    assert site.boots()["web1"] != before["web1"]


def test_a_quorum_goes_on_without_the_node_that_fails(site: Site) -> None:
    site.set(at_least={"web": 1})
    site.means = "v2"
    site.dying.add("web2")
    result = site.deploy()
    assert result["failed_nodes"] == ["web2"] and result["release"] == 2
    assert site.runs() == {"web1": "v2", "web2": "v1"}
