# SPDX-License-Identifier: GPL-3.0-or-later
"""What a platform says that it can do with machines while a test script runs."""

from __future__ import annotations

from ansible_collections.immutable.compose.plugins.module_utils.platforms.hands import HasCable, HasPower

from .ground import wait_until
from .site import Site


def test_power(site: Site) -> None:
    """What is switched on again boots what it was told; nothing of that is a change."""
    platform = site.engine().platform
    if not isinstance(platform, HasPower):
        return  # it says that it cannot, and scripts are refused
    before = site.boots()
    one, two = platform.deployment.nodes
    for hard in (True, False):
        platform.turn_off(one, hard=hard)
        platform.turn_off(one, hard=hard)
        assert not platform.is_on(one) and platform.is_on(two)
        platform.turn_on(one)
        platform.turn_on(one)
        assert platform.is_on(one)
    wait_until(lambda: site.runs() == {"web1": "v1", "web2": "v1"})
    after = site.boots()
    assert after["web1"].number != before["web1"].number and after["web2"] == before["web2"]
    assert set(site.plan().values()) == {"keep"}


def test_cable(site: Site) -> None:
    platform = site.engine().platform
    if not isinstance(platform, HasCable):
        return
    before = site.boots()
    one = platform.deployment.nodes[0]
    for plugged in (False, False, True, True):
        platform.plug(one, plugged=plugged)
        assert platform.way_around(one)
    assert site.boots() == before
    assert set(site.plan().values()) == {"keep"}
