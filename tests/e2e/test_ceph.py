# SPDX-License-Identifier: GPL-3.0-or-later
"""Ceph: an OSD and a monitor die and are missed by nobody; OSDs become more, all of one image, and get new ones."""

from __future__ import annotations

import pytest
from example import Example
from lab import NEW, changed

pytestmark = pytest.mark.story

OSDS = {"osd1", "osd2"}


def uuids(site: Example, *osds: str) -> dict[str, str]:
    return {osd: site.ssh(osd, "cat /var/lib/ceph/osd/uuid").stdout for osd in osds}


def test_a_cluster_of_three_monitors_has_a_file_system(site: Example) -> None:
    run = site.play("deploy")
    assert set(run.recap) == {*OSDS, "mon1", "mon2", "mon3", "client1"}
    assert site.play("deploy").changed == 0


def test_an_osd_and_the_active_metadata_server_lose_their_power(site: Example) -> None:
    site.break_it()


def test_new_images_of_the_osds_one_by_one_keep_who_they_are_and_what_they_have(site: Example) -> None:
    boots, before = site.boots(), uuids(site, *OSDS)
    assert site.ssh("client1", "echo kept >/data/kept; sync /data/kept").returncode == 0
    site.edit("umask 077", f"umask 077 # {NEW}", "node/osd")
    site.play("deploy")
    assert changed(boots, site.boots()) >= OSDS
    assert uuids(site, *OSDS) == before
    assert site.ssh("client1", "cat /data/kept").stdout == "kept\n"


def test_two_more_osds_of_the_same_image(site: Example) -> None:
    boots = site.boots()
    site.count(osd=4)
    run = site.play("deploy")
    assert not run.said("compose | build ")
    assert changed(boots, site.boots()) == {"osd3", "osd4"}
    assert len(set(uuids(site, "osd1", "osd2", "osd3", "osd4").values())) == 4
    site.break_it()
