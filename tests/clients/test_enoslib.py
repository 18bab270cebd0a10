"""EnOSlib: reserves through its provider for Grid'5000, and deploys in rounds."""

from __future__ import annotations

from pathlib import Path

import enoslib as en
import pytest
import yaml
from conftest import Site
from enoslib.infra.enos_g5k import g5k_api_utils
from enoslib.infra.enos_g5k.provider import _concretize_networks, _concretize_nodes, _join, deploy_with_retries


@pytest.fixture(autouse=True)
def configuration(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the API is, as users of EnOSlib say it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    about = {"uri": f"{site.api}/stable", "username": "alice", "password": "alice", "verify_ssl": False}
    (tmp_path / ".python-grid5000.yaml").write_text(yaml.safe_dump(about))
    monkeypatch.setattr(g5k_api_utils, "_api_client", None)


def test_deploys_until_enough(site: Site) -> None:
    configuration = en.G5kConf.from_settings(
        job_name="x", job_type=["deploy"], env_name="debian12-min", walltime="1:00:00"
    )
    configuration.add_machine(roles=["r"], cluster="dahu", nodes=4).finalize()
    base = en.G5k(configuration)
    provider = base.providers[0] if hasattr(base, "providers") else base
    provider.reserve()
    provider.wait()
    names, networks = provider.driver.resources()
    assert len(names) == 4
    machines = _concretize_nodes(provider.provider_conf.machines, names)
    hosts = _join(machines, _concretize_networks(provider.provider_conf.networks, networks))
    site.faults({"kind": "post_install", "machine": names[1], "times": 2})
    deployed, undeployed = deploy_with_retries(
        hosts, True, {"environment": "debian12-min", "key": "ssh-ed25519 AAAA x"}
    )
    assert (len(deployed), undeployed) == (1, [])
    provider.destroy(wait=True)
