# SPDX-License-Identifier: GPL-3.0-or-later
"""OAR of Debian: a node dies and comes back; nodes become more; the database outlives the image of its server."""

from __future__ import annotations

import pytest
from example import Example
from lab import NEW, changed

pytestmark = pytest.mark.story


def test_a_job_runs_on_all_nodes(site: Example) -> None:
    run = site.play("deploy")
    assert set(run.recap) == {"server", "frontend", "node1", "node2"}
    assert site.play("deploy").changed == 0


def test_jobs_go_on_without_a_node_that_dies_and_wait_for_it(site: Example) -> None:
    site.break_it()


def test_another_node_is_used_without_a_build_or_a_reboot(site: Example) -> None:
    boots = site.boots()
    site.count(node=3)
    run = site.play("deploy")
    assert not run.said("compose | build ")
    assert changed(boots, site.boots()) == {"node3"}


def test_a_new_image_of_the_server_keeps_what_it_knows(site: Example) -> None:
    boots, jobs = site.boots(), "oarstat -s -j 1"
    before = site.ssh("frontend", jobs).stdout
    assert "Terminated" in before
    site.edit("listen_addresses = '*'", f"listen_addresses = '*' # {NEW}")
    site.play("deploy")
    assert changed(boots, site.boots()) == {"server"}
    assert site.ssh("frontend", jobs).stdout == before
