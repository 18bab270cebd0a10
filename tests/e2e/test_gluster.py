# SPDX-License-Identifier: GPL-3.0-or-later
"""GlusterFS: a server that dies is missed by nobody, and healed; servers get new images, and become more."""

from __future__ import annotations

import re

import pytest
from example import Example
from lab import NEW, PATIENCE, changed, until

pytestmark = pytest.mark.story

SERVERS = {"server1", "server2", "server3"}


def uuids(site: Example) -> dict[str, str]:
    """Who servers are for each other."""
    return {node: site.ssh(node, "grep UUID /var/lib/glusterd/glusterd.info").stdout for node in SERVERS}


def test_clients_share_what_all_servers_have(site: Example) -> None:
    run = site.play("deploy")
    assert set(run.recap) == {*SERVERS, "client1", "client2"}
    assert len(set(uuids(site).values())) == len(SERVERS)
    assert site.play("deploy").changed == 0


def test_a_server_that_loses_its_power_is_healed(site: Example) -> None:
    site.break_it()


def test_new_images_one_by_one_keep_who_servers_are_and_what_they_have(site: Example) -> None:
    before, boots = uuids(site), site.boots()
    site.ssh("server1", "gluster volume set gv0 cluster.self-heal-daemon off")
    site.ssh(
        "client1", "echo kept >/data/kept; systemd-run --unit=writer sh -c 'while sleep 0.1; do date >>/data/log; done'"
    )
    site.edit("set --\n", f"# {NEW}\nset --\n", "gluster-volume")
    deploy = site.start("deploy")
    said = until(deploy, "waiting for 1 of 1 nodes: server1")
    site.ssh("client1", "systemctl stop writer")
    # As long as server1 lacks something, it is the only one that went down.
    assert "gluster-healed.service" in site.ssh("server1", "systemctl list-jobs").stdout
    assert re.search("entries: [1-9]", site.ssh("server2", "gluster volume heal gv0 info").stdout)
    assert changed(boots, site.boots()) == {"server1"}
    site.ssh("server2", "gluster volume set gv0 cluster.self-heal-daemon on")
    said += deploy.communicate(timeout=PATIENCE)[0]
    assert deploy.returncode == 0, said
    assert changed(boots, site.boots()) == SERVERS
    assert uuids(site) == before
    assert site.ssh("client2", "cat /data/kept").stdout == "kept\n"


def test_one_more_server_gets_a_copy_without_a_build(site: Example) -> None:
    boots = site.boots()
    site.count(client=1, server=4)
    run = site.play("deploy")
    assert not run.said("compose | build ")
    assert changed(boots, site.boots()) == {"client2", "server4"}
    assert site.ssh("server4", "cat /srv/brick/gv0/kept").stdout == "kept\n"
