# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are killed at any point of a step end, run again, as if nothing had been."""

from __future__ import annotations

import pytest

from .ground import Ground
from .killing import is_killed, until_done
from .site import Site


@pytest.mark.parametrize("step", ["stage", "switch", "settle"])
def test_killed_and_finished_by_the_next(site: Site, step: str) -> None:
    site.means = "v2"
    killed = until_done(lambda before: site.deploy(before=before), step)
    assert killed or step == "stage"  # some platforms have nothing to stage
    assert site.deploy()["failed_nodes"] == []
    assert site.runs() == {"web1": "v2", "web2": "v2"}
    assert {(seen.verified, seen.leftovers) for seen in site.observed().values()} == {("v2", False)}
    assert site.release() == 2
    assert not site.deploy()["changed"]


@pytest.mark.parametrize("point", [5, 30])
def test_killed_and_destroyed(site: Site, ground: Ground, point: int) -> None:
    site.means = "v2"
    is_killed(lambda before: site.deploy(before=before), "switch", point)
    assert site.destroy()["failed_nodes"] == []
    assert (site.runs(), ground.left(site.deployment)) == ({}, [])
