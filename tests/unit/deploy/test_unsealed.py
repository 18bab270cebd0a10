# SPDX-License-Identifier: GPL-3.0-or-later
"""Who broke the seal of a node, and why, is told and recorded until it boots again; and what a look for drift says."""

from __future__ import annotations

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.deploy.drift import verify_and_drift
from ansible_collections.immutable.compose.plugins.module_utils.deploy.looking import verify

from .conftest import Site

WHY = ["'disk full' by me@desk at now (raw)"]


@pytest.fixture
def running(rack: Site) -> Site:
    """Three verified nodes, one of which somebody has changed."""
    rack.deploy()
    rack.unsealed["web2"] = "disk full"
    return rack


def recorded(site: Site) -> dict[str, list[str]]:
    """Node → why its seal was broken, as the current release has it."""
    return {name: list(why) for name, why in site.engine().releases.find("current").unsealed.items()}


def test_it_is_in_the_release_until_the_node_boots_again(running: Site) -> None:
    assert recorded(running) == {}
    done = running.deploy()["settle"]
    assert (done["changed"], done["release"], done["failed_nodes"]) == (False, 1, [])
    assert done["nodes"]["web2"]["unsealed"] == WHY and "unsealed" not in done["nodes"]["web1"]
    assert f"unsealed:  web2, until it boots again: {WHY[0]}" in done["summary"]
    assert recorded(running) == {"web2": WHY}
    running.deploy("web1")
    assert recorded(running) == {"web2": WHY}, "web2 was not asked"
    done = running.deploy(replace=["web2"])["settle"]
    assert (done["release"], recorded(running)) == (1, {})
    assert not [line for line in done["summary"] if "unsealed" in line]


def test_a_new_release_has_it_of_the_nodes_that_stay(running: Site) -> None:
    running.deploy()
    running.means["web"] = "v2"
    assert running.deploy("web1")["settle"]["release"] == 2
    assert recorded(running) == {"web2": WHY}
    running.deploy("web2", "web3")
    assert recorded(running) == {}


def test_verification_tells_it_and_looks_for_drift_if_asked_to(running: Site) -> None:
    seen = verify(running.engine(), "current")
    assert seen.failed_nodes == [] and seen.nodes["web2"].unsealed == WHY
    assert recorded(running) == {}, "it only looks"
    looked = verify_and_drift(running.engine(), "current", {}, pretend=False)
    assert looked.failed_nodes == ["web2"]
    assert looked.nodes["web2"].message == f"drift: unsealed: {WHY[0]}"
    assert looked.nodes["web2"].evidence.checks == ["drift"] and looked.nodes["web1"].evidence.checks == ()
    assert looked.checks == {"passed": (seen.checks or {})["passed"] + 2, "failed": 1}


def test_drift_adds_to_what_a_verification_finds(running: Site) -> None:
    """A node that does not answer has not drifted: it fails for its own reason, once."""
    running.sick.add("web2")
    running.silent.add("web3")
    looked = verify_and_drift(running.engine(), "current", {}, pretend=False)
    assert looked.failed_nodes == ["web2", "web3"]
    assert looked.nodes["web2"].evidence.checks == ["units", "drift"]
    message = looked.nodes["web2"].message
    assert message.startswith("units: failed units: web.service") and "; drift: units failed: web.service" in message
    assert "drift" not in looked.nodes["web3"].message and "no answer" in looked.nodes["web3"].message
