# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that the stand-in for Grid'5000 lends and that for Kadeploy installs, and that really boot: containers."""

from __future__ import annotations

import json
import subprocess
import typing as t

import pytest
from lab import Lab, changed
from metal import Site, site_of

pytestmark = pytest.mark.story

NODES = {"backend1", "backend2", "backend3"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Site]:
    with site_of(tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("api")) as site:
        yield site


@pytest.fixture(scope="module")
def lab(site: Site, lab_of: t.Callable[..., Lab]) -> Lab:
    reach = site.machines
    lab = lab_of(
        "metal",
        "web",
        platform={
            "name": "kadeploy",
            "url": site.url,
            "user": "alice",
            "directory": str(site.state / "served"),
            "proxy_command": site.proxy_command,
        },
        reservation={
            "nodes": 3,
            "walltime": "2:0:0",
            "interface": "grid5000",
            "site": "grenoble",
            "url": f"{site.api}/stable",
        },
        network="10.158.0.0/16",
        roles={"proxy": 0, "database": 0, "backend": 3},
        nodes={f"backend{index}": {"address": reach[f"sim-{index}"]["address"]} for index in (1, 2, 3)},
        retries=1,
        boot_timeout=120,
    )
    lab.drop_test_script()
    (lab.inventory / "group_vars").mkdir()
    (lab.inventory / "group_vars/all.yml").write_text("compose_credentials: {user: alice, password: alice}\n")
    return lab


def machines_of(lab: Lab) -> dict[str, str | None]:
    """Node → machine, as the inventory says."""
    command = [lab.program("ansible-inventory"), "-i", str(lab.inventory), "--list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, env=lab.environment()).stdout
    hosts = json.loads(listed)["_meta"]["hostvars"]
    return {node: hosts[node].get("compose_machine") for node in NODES}


def test_a_machine_that_fails_is_deployed_again_alone(lab: Lab, site: Site) -> None:
    site.fail({"kind": "post_install", "machine": "sim-2", "times": 1, "error": "no space left"})
    lab.play("plan")
    assert site.jobs() == [] and set(machines_of(lab).values()) == {None}
    run = lab.play("deploy")
    assert machines_of(lab) == {f"backend{index}": f"sim-{index}" for index in (1, 2, 3)}
    assert run.said(f"(compose-{lab.name}) has sim-1, sim-2, sim-3, until ")
    assert run.said("switch backend2: failed: sim-2: BroadcastEnvChain-manage_user_post_install: no space left")
    assert run.said("round 2 of 2: booting again: backend2")
    assert set(run.recap) == NODES and lab.release() == 1
    assert len(set(lab.images().values())) == 1 and set(lab.images()) == NODES
    assert lab.ssh("backend2", "hostname; getent hosts backend3").stdout.split()[:2] == [
        "backend2",
        site.machines["sim-3"]["address"],
    ]
    fetched = [path.name for path in (site.state / "served").glob("*/*")]
    assert len(fetched) == 1 and fetched[0].endswith(".tar"), "documents are there no longer than their deployment"


def test_what_is_right_stays(lab: Lab, site: Site) -> None:
    before = lab.boots()
    assert lab.play("deploy").changed == 0
    assert lab.boots() == before
    assert site.jobs() == [(f"compose-{lab.name}", "running")]


def test_what_fails_goes_back(lab: Lab, site: Site) -> None:
    before, release = lab.boots(), lab.read_release()
    nodes = lab.deployment["nodes"]
    lab.write(retries=0, nodes={**nodes, "backend3": {**nodes["backend3"], "parameters": {"v": 2}}})
    site.fail({"kind": "bmc_silent", "machine": "sim-3", "times": 3})
    run = lab.play("deploy", expect=2)
    assert run.said("switch backend3: failed: sim-3: SetDeploymentEnvUntrusted-reboot: bmc does not answer")
    assert {node: counts["failed"] for node, counts in run.recap.items()} == {
        "backend1": 0,
        "backend2": 0,
        "backend3": 1,
    }
    assert run.said("back on its last verified image")
    assert changed(before, lab.boots()) == {"backend3"}
    assert lab.read_release() == release


def test_destroyed_machines_are_off_and_given_back(lab: Lab, site: Site) -> None:
    site.fail()
    assert site.running() == {"sim-1", "sim-2", "sim-3"}
    lab.play("destroy")
    assert site.running() == set() and lab.nodes() == []
    assert list((site.state / "served").iterdir()) == []
    assert site.jobs() == [(f"compose-{lab.name}", "error")]
