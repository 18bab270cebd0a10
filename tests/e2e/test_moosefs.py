# SPDX-License-Identifier: GPL-3.0-or-later
"""MooseFS: a server of chunks dies, its chunks are copied elsewhere; the master dies, and nothing is lost."""

from __future__ import annotations

import pytest
from example import Example
from lab import NEW, changed

pytestmark = pytest.mark.story

SERVERS = {"chunkserver1", "chunkserver2", "chunkserver3"}


def test_clients_share_what_is_on_two_servers(site: Example) -> None:
    run = site.play("deploy")
    assert set(run.recap) == {*SERVERS, "master", "client1", "client2"}
    assert site.play("deploy").changed == 0


def test_a_server_and_then_the_master_lose_their_power(site: Example) -> None:
    site.break_it()


def test_new_images_of_the_servers_keep_their_chunks(site: Example) -> None:
    boots = site.boots()
    assert site.ssh("client1", "echo kept >/data/kept").returncode == 0
    site.edit("HDD_LEAVE_SPACE_DEFAULT", f"# {NEW}\n        HDD_LEAVE_SPACE_DEFAULT")
    site.play("deploy")
    assert changed(boots, site.boots()) == SERVERS
    assert site.ssh("client2", "cat /data/kept").stdout == "kept\n"


def test_one_more_server_without_a_build_or_a_reboot(site: Example) -> None:
    boots = site.boots()
    site.count(client=1, chunkserver=4)
    run = site.play("deploy")
    assert not run.said("compose | build ")
    assert changed(boots, site.boots()) == {"client2", "chunkserver4"}
