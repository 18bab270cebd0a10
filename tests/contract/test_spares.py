# SPDX-License-Identifier: GPL-3.0-or-later
"""Where machines are lent, one that is left takes the place of one that fails."""

from __future__ import annotations

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy import machines

from .conftest import SiteOf
from .platforms.kadeploy import Site as Machines


@pytest.mark.parametrize("ground", ["kadeploy"], indirect=True)
def test_a_spare_machine_takes_the_place_of_a_broken_one(
    site_of: SiteOf, ground: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "_resolve", lambda machine: f"10.87.9.{machine.removeprefix('sim-')}")
    site = site_of(retries=1)
    ground.break_down("sim-1")
    assert site.deploy()["failed_nodes"] == []
    assert "sim-3 takes the place of sim-1 for web1" in site.said()
    assert site.runs() == {"web1": "v1", "web2": "v1"}
    assert sorted(site.told) == ["web1", "web2"]  # of the address that web1 has now
    before = site.boots()
    assert set(site.plan().values()) == {"keep"}
    assert not site.deploy()["changed"] and site.boots() == before
    site.means = "v2"
    assert site.deploy()["failed_nodes"] == []
    assert site.runs() == {"web1": "v2", "web2": "v2"}
