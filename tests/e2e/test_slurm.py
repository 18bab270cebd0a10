# SPDX-License-Identifier: GPL-3.0-or-later
"""Slurm: a node dies in the middle of a job, and the job gets its end; the cluster grows, and the queue stays."""

from __future__ import annotations

import pytest
from example import Example
from lab import NEW, changed

pytestmark = pytest.mark.story


def test_a_job_of_mpi_runs_on_all_nodes(site: Example) -> None:
    run = site.play("deploy")
    assert set(run.recap) == {"controller", "node1", "node2"}
    assert "sum 3 on 2" in (site.state / "results/verify/mpi/mpi.out").read_text()
    assert site.play("deploy").changed == 0


def test_the_job_of_a_node_that_dies_runs_again(site: Example) -> None:
    site.break_it()


def test_another_node_is_used_without_a_build_or_a_reboot(site: Example) -> None:
    boots = site.boots()
    site.count(node=3)
    run = site.play("deploy")
    assert not run.said("compose | build ")
    assert changed(boots, site.boots()) == {"node3"}
    assert "sum 6 on 3" in (site.state / "results/verify/mpi/mpi.out").read_text()


def test_a_new_image_of_the_controller_keeps_the_queue_and_the_jobs(site: Example) -> None:
    submit = "runuser -u researcher -- sbatch --parsable --chdir=/tmp"
    held = site.ssh("node1", f"{submit} --hold --wrap=true").stdout.strip()
    running = site.ssh("node1", f"{submit} -w node1 --wrap='until test -e /tmp/end; do sleep 1; done'").stdout.strip()
    boots = site.boots()
    site.edit(
        'units."slurmctld.service" = { };', f'units."slurmctld.service" = {{ }};\n files."/etc/motd".text = "{NEW}";'
    )
    # The test script wants all nodes idle.
    site.drop_test_script()
    site.play("deploy")
    assert changed(boots, site.boots()) == {"controller"}
    state = "scontrol show job {} | grep -o JobState=.*"
    assert site.ssh("controller", state.format(held)).stdout.startswith("JobState=PENDING")
    assert site.ssh("controller", state.format(running)).stdout.startswith("JobState=RUNNING")
    site.ssh("node1", "touch /tmp/end")
    ended = f"for _ in $(seq 60); do {state.format(running)} | grep COMPLETED && exit; sleep 1; done"
    assert "COMPLETED" in site.ssh("controller", ended).stdout
