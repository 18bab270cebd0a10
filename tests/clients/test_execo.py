"""execo: runs ``kadeploy3`` in a terminal and reads what it prints."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import requests
from conftest import SIMULATORS, Site
from execo_g5k import kadeploy
from execo_g5k.config import g5k_configuration

NODES = [f"dahu-{number}.grenoble.grid5000.fr" for number in range(1, 5)]


@pytest.fixture(autouse=True)
def frontend(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This is the frontend: its commands are here, and the user may use the nodes."""
    monkeypatch.setenv("PATH", f"{SIMULATORS / 'kadeploy/bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("USER", "alice")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KADEPLOY3_CONFIG_DIR", str(site.state / "kadeploy"))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/authorized_keys").write_text("ssh-ed25519 AAAA alice\n")
    monkeypatch.setitem(g5k_configuration, "no_ssh_for_local_frontend", True)
    monkeypatch.setattr(kadeploy, "get_frontend_host", lambda _name: None)
    headers = {"X-Kadeploy-User": "root"}
    body = {"username": "alice", "nodes": NODES}
    requests.post(f"{site.kadeploy}/rights", json=body, headers=headers, timeout=60).raise_for_status()


def test_rounds_until_all_are_deployed(site: Site) -> None:
    site.faults({"kind": "bmc_silent", "machine": NODES[1], "times": 4})
    deployment = kadeploy.Deployment(hosts=NODES, env_name="debian12-min")
    deployed, undeployed = kadeploy.deploy(deployment, check_deployed_command=None, num_tries=3)
    assert (sorted(deployed), undeployed) == (NODES, set())


def test_one_that_never_is(site: Site) -> None:
    site.faults({"kind": "no_boot", "machine": NODES[2], "system": "user"})
    deployment = kadeploy.Deployment(hosts=NODES, env_name="debian12-min", user="deploy")
    deployed, undeployed = kadeploy.deploy(deployment, check_deployed_command=None, num_tries=2)
    assert (len(deployed), undeployed) == (3, {NODES[2]})
