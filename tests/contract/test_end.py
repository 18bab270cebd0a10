# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of nodes that have to go, and of their data."""

from __future__ import annotations

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError

from .conftest import SiteOf
from .ground import Ground
from .killing import until_done
from .site import Before, Site


def write(site: Site, text: str) -> None:
    """Something on the data volume of each node, past the platform."""
    for name, (volume,) in site.volumes().items():
        file = site.ground.volume(volume)
        content = file.read_bytes() if file.exists() else b""
        file.write_bytes(f"{name} {text}".encode().ljust(20) + content[20:])


def read(site: Site) -> dict[str, str]:
    found = {name: site.ground.volume(volume) for name, (volume,) in site.volumes().items()}
    return {name: file.read_bytes()[:20].decode().strip() for name, file in found.items()}


def test_retire(site: Site) -> None:
    before = site.boots()
    site.count(1)
    result = site.deploy()
    assert result["retired"] == ["web2"]
    site.count(2)
    assert site.boots() == {"web1": before["web1"]}
    assert site.observed()["web2"].state == "absent"


def test_destroy_leaves_nothing(site_of: SiteOf, ground: Ground) -> None:
    site = site_of(data=int(ground.keeps_data))
    site.deploy()
    assert ground.left(site.deployment) != []
    site.destroy("web1", data=True)
    assert set(site.runs()) == {"web2"} and set(site.volumes()) == ({"web2"} if ground.keeps_data else set())
    site.destroy("web2", data=True)
    assert (site.runs(), ground.left(site.deployment), site.volumes()) == ({}, [], {})
    assert {seen.state for seen in site.observed().values()} == {"absent"}
    assert not site.destroy(data=True)["changed"]


def test_data_survive_all_but_their_own_destruction(site_of: SiteOf, ground: Ground) -> None:
    site = site_of(data=1)
    if not ground.keeps_data:
        with pytest.raises(ComposeError, match="has data volumes"):
            site.deploy()
        assert site.runs() == {}
        return
    site.deploy()
    write(site, "kept")
    kept = {"web1": "web1 kept", "web2": "web2 kept"}
    site.means = "v2"
    site.deploy()
    assert read(site) == kept
    site.count(1)
    site.deploy()
    site.count(2)
    assert read(site) == kept
    site.deploy()
    assert read(site) == kept and site.runs() == {"web1": "v2", "web2": "v2"}
    site.destroy()
    assert read(site) == kept and site.runs() == {}
    site.deploy()
    assert read(site) == kept and site.runs() == {"web1": "v2", "web2": "v2"}


def test_what_was_only_staged_is_destroyed(site_of: SiteOf, ground: Ground) -> None:
    site = site_of()

    class Enough(Exception):
        pass

    def before(step: str) -> None:
        if step == "switch":
            raise Enough

    with pytest.raises(Enough):
        site.deploy(before=before)
    assert site.runs() == {}
    left = ground.left(site.deployment)
    assert site.destroy(pretend=True)["changed"] is bool(left) and ground.left(site.deployment) == left
    assert site.destroy()["changed"] is bool(left)
    assert (ground.left(site.deployment), site.volumes()) == ([], {})
    assert not site.destroy(pretend=True)["changed"] and not site.destroy()["changed"]


def test_a_destroy_that_is_killed_is_finished_by_the_next(site_of: SiteOf, ground: Ground) -> None:
    site = site_of(data=int(ground.keeps_data))
    site.deploy()
    write(site, "kept")

    def run(before: Before) -> None:
        before("destroy")
        site.destroy()

    assert until_done(run, "destroy") > 0
    site.destroy()
    assert (site.runs(), ground.left(site.deployment)) == ({}, [])
    assert read(site) == ({"web1": "web1 kept", "web2": "web2 kept"} if ground.keeps_data else {})
