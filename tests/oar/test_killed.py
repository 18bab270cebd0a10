# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment on a real OAR and machines that boot, killed with SIGKILL in every step: its end is the same as ever."""

from __future__ import annotations

import re
import subprocess
import typing as t

import pytest
from lab import Lab
from metal import Metal, metal_of

from .play import Site, jobs

#: What the run says when it is killed, in this order: no run comes to its end. What has failed in the first deployment
#: is deployed again by whichever run comes so far.
DEPLOY = (
    "TASK [immutable.compose.deploy : Stage]",
    "reserving compose-",
    "is submitted",
    "switch: deploying",
    "deploying on",
    "TASK [immutable.compose.deploy : Verify]",
    "TASK [immutable.compose.deploy : Settle]",
)
#: The same of a destroy, of which each goes further than the one before.
DESTROY = ("TASK [Destroy]", "destroy backend", "is released")
NODES = ("backend1", "backend2", "backend3")


@pytest.fixture(scope="module")
def metal(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Metal]:
    with metal_of(tmp_path_factory.mktemp("metal"), "node-[1-3]", rights={"alice": ["node-[1-3]"]}) as metal:
        yield metal


@pytest.fixture
def lab(metal: Metal, site: Site, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Lab]:
    served = {"name": "kadeploy", "url": metal.url, "user": "alice", "directory": str(metal.state / "served")}
    machines = metal.machines
    lab = Lab(
        tmp_path_factory.mktemp("killed"),
        "web",
        {
            "platform": {**served, "proxy_command": metal.proxy_command},
            "reservation": {
                "nodes": 3,
                "walltime": "1:0:0",
                "properties": "host in ('node-1', 'node-2', 'node-3')",
                **site.command,
            },
            "network": "10.158.0.0/16",
            "roles": {"proxy": 0, "database": 0, "backend": 3},
            "nodes": {f"backend{at}": {"address": machines[f"node-{at}"]["address"]} for at in (1, 2, 3)},
            "retries": 1,
        },
    )
    lab.drop_test_script()
    lab.play("build")
    yield lab
    lab.play("destroy", expect=None)


def reservations(lab: Lab) -> int:
    """How many jobs there ever were."""
    query = f"SELECT count(*) FROM jobs WHERE job_name = 'compose-{lab.name}'"
    command = ["runuser", "-u", "postgres", "--", "psql", "-p", "5433", "-qAt", "-d", "oar", "-c", query]
    return int(subprocess.run(command, cwd="/", capture_output=True, text=True, check=True).stdout)


def deployments(metal: Metal) -> set[str]:
    """All that Kadeploy ever began: none was begun that nobody looked at."""
    return set(re.findall(r"/deployment/(D-[\w-]+)", (metal.state / "access.log").read_text()))


def test_killed_in_every_step(lab: Lab, metal: Metal) -> None:
    metal.fail({"kind": "post_install", "machine": "node-2", "times": 1, "error": "no space left"})
    for says in DEPLOY:
        lab.kill_when(says)
    lab.play("deploy")
    assert reservations(lab) == 1 and [job["state"] for job in jobs().values()] == ["Running"]
    assert len(deployments(metal)) == 2, "one of all machines, and one of that which failed"
    assert metal.running() == {"node-1", "node-2", "node-3"}
    assert {node: lab.ssh(node, "hostname").stdout.strip() for node in NODES} == {node: node for node in NODES}
    assert len(set(lab.images().values())) == 1 and lab.release() == 1
    before = lab.boots()
    assert lab.play("deploy").changed == 0 and lab.boots() == before


@pytest.mark.parametrize("alone", [False, True], ids=["with all its processes", "alone"])
def test_a_destroy_that_is_killed_is_finished_by_the_next(lab: Lab, metal: Metal, alone: bool) -> None:
    """What its controller leaves at work holds nobody up: a module ends with its run, and the next waits for that."""
    before = reservations(lab)
    lab.play("deploy")
    assert len(metal.running()) == 3
    for says in DESTROY:
        lab.kill_when(says, "destroy", alone=alone)
    done = lab.play("destroy")
    assert jobs() == {} and metal.running() == set() and reservations(lab) == before + 1, done.output
    assert not (lab.state / "machines.json").exists() and not (lab.state / "reservation.json").exists()
    assert list((metal.state / "served").iterdir()) == []
    assert lab.play("destroy").changed == 0
