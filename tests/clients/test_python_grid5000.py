"""python-grid5000: jobs, deployments, errors."""

from __future__ import annotations

import json
import time
import typing as t

import pytest
from conftest import Site
from grid5000 import Grid5000
from grid5000.exceptions import Grid5000AuthenticationError, Grid5000CreateError, Grid5000GetError


def _client(site: Site, password: str = "alice") -> t.Any:
    return Grid5000(uri=f"{site.api}/stable", username="alice", password=password, verify_ssl=False)


def _until(found: t.Any, *states: str) -> None:
    deadline = time.monotonic() + 60
    while (found.state if hasattr(found, "state") else found.status) not in states:
        assert time.monotonic() < deadline
        time.sleep(0.1)
        found.refresh()


def test_from_job_to_deployment_and_back(site: Site) -> None:
    grenoble = _client(site).sites["grenoble"]
    spec = {"name": "x", "resources": "nodes=3,walltime=1:0:0", "command": "sleep 3600", "types": ["deploy"]}
    job = grenoble.jobs.create({**spec, "properties": "cluster='dahu'"})
    _until(job, "running")
    assert len(job.assigned_nodes) == 3
    time.sleep(0.5)  # its prologue
    site.faults({"kind": "no_boot", "machine": job.assigned_nodes[0], "system": "user"})
    deployment = grenoble.deployments.create({"nodes": job.assigned_nodes, "environment": "debian12-min"})
    # The server is out of order for a moment: the library asks again.
    (site.state / "api/faults.json").write_text(
        json.dumps([{"kind": "http", "method": "GET", "status": 502, "times": 2}])
    )
    _until(deployment, "terminated")
    states = {node: about["state"] for node, about in deployment.result.items()}
    assert sorted(states.values()) == ["KO", "OK", "OK"]
    assert deployment.result[job.assigned_nodes[0]]["error"].startswith("BootNewEnv")
    assert [found.uid for found in grenoble.jobs.list(name="x", state="running", user="alice")] == [job.uid]
    job.delete()
    _until(job, "error")


def test_errors_have_types(site: Site) -> None:
    grenoble = _client(site).sites["grenoble"]
    with pytest.raises(Grid5000CreateError, match="There are not enough resources"):
        grenoble.jobs.create({"resources": "nodes=442", "command": "x"})
    with pytest.raises(Grid5000CreateError, match="The node 'zorro-1' does not exist"):
        grenoble.deployments.create({"nodes": ["zorro-1"], "environment": "debian12-min"})
    with pytest.raises(Grid5000GetError, match="Couldn't find"):
        grenoble.jobs.get("99999")
    with pytest.raises(Grid5000AuthenticationError):
        _client(site, "wrong").sites.list()
