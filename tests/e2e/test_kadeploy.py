# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that the stand-in for Grid'5000 lends and that for Kadeploy installs, and that really boot: containers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from lab import ROOT, Lab, changed

SIMULATORS = ROOT / "tests/simulators"
NODES = {"backend1", "backend2", "backend3"}
#: One way through each macrostep: what fails, fails at once.
AUTOMATON = [
    ["SetDeploymentEnv", [["SetDeploymentEnvUntrusted", 0, 0]]],
    ["BroadcastEnv", [["BroadcastEnvChain", 0, 0]]],
    ["BootNewEnv", [["BootNewEnvClassical", 0, 0]]],
]


@dataclass
class Site:
    """A Kadeploy with three machines, and an API where they are reserved."""

    url: str
    api: str
    state: Path

    def fail(self, *faults: dict[str, t.Any]) -> None:
        (self.state / "faults.json").write_text(json.dumps(faults))

    @property
    def machines(self) -> dict[str, dict[str, str]]:
        """Addresses, and ways there."""
        found: dict[str, dict[str, str]] = json.loads((self.state / "machines.json").read_text())
        return found

    def running(self) -> set[str]:
        """Machines on which something runs."""
        listed = subprocess.run(["pgrep", "-af", "systemd-nspawn"], capture_output=True, text=True, check=False).stdout
        return {name for name in self.machines if f"--directory={self.state}/machines/{name} " in listed}

    def jobs(self) -> list[tuple[str, str]]:
        """Name and state of each job that there was."""
        answer = requests.get(f"{self.api}/stable/sites/grenoble/jobs", auth=("alice", "alice"), timeout=30)
        return [(job["name"], job["state"]) for job in answer.json()["items"]]


@contextmanager
def served(name: str, state: Path, *args: str) -> t.Iterator[str]:
    """A stand-in, and where it is."""
    command = [sys.executable, str(SIMULATORS / name / "serve"), "--state", str(state), *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[1]
        finally:
            os.kill(process.pid, signal.SIGTERM)
            process.wait(60)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Site]:
    state = tmp_path_factory.mktemp("site")
    (state / "served").mkdir()
    cluster = {"nodes": ["sim-[1-3]"], "automaton": AUTOMATON, "before_ping": 1, "reboot_timeout": 3000}
    options = {"pace": 0.02, "clusters": {"sim": cluster}, "rights": {}}
    (state / "options.json").write_text(json.dumps(options))
    api = tmp_path_factory.mktemp("api")
    (api / "options.json").write_text(json.dumps({"pace": 0.02}))
    with (
        served("kadeploy", state, "--machines", "nspawn") as url,
        served("g5k_api", api, "--kadeploy", url) as where,
    ):
        yield Site(url, where, state)


@pytest.fixture(scope="module")
def lab(site: Site, lab_of: t.Callable[..., Lab]) -> Lab:
    reach = site.machines
    (way,) = {machine["proxy_command"].replace(machine["address"], "%h") for machine in reach.values()}
    lab = lab_of(
        "metal",
        "web",
        platform={
            "name": "kadeploy",
            "url": site.url,
            "user": "alice",
            "directory": str(site.state / "served"),
            "proxy_command": way,
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


def test_a_machine_that_fails_is_deployed_again_alone(lab: Lab, site: Site) -> None:
    site.fail({"kind": "post_install", "machine": "sim-2", "times": 1, "error": "no space left"})
    lab.play("plan")
    assert site.jobs() == []
    run = lab.play("deploy")
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
