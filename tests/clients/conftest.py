"""Kadeploy with two clusters of Grid'5000, and its API, both as programs; and a deployment of containers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SIMULATORS = ROOT / "tests/simulators"
#: Commands of the newest ansible-core that is here: not those of the client's own environment.
ANSIBLE = max((ROOT / ".cache/venv").glob("3.*"), key=lambda path: int(path.name[2:])) / "bin"
PACE = 0.02
# EnOSlib needs Ansible's default, which the checkout's own configuration has not; it is read by the import.
os.environ["ANSIBLE_INJECT_FACT_VARS"] = "true"
NODES = ["dahu-[1-32].grenoble.grid5000.fr", "troll-[1-4].grenoble.grid5000.fr"]
_IMAGE = {"file": "server:///srv/images/test.tgz", "kind": "tar", "compression": "gzip"}
_ENVIRONMENT = {"name": "debian12-min", "alias": "debian12-x64-min", "version": 2026110100, "os": "linux"}
_ENVIRONMENT |= {"image": _IMAGE, "boot": {"kernel": "/vmlinuz"}, "filesystem": "ext4", "visibility": "public"}


@dataclass
class Site:
    """A site of Grid'5000."""

    kadeploy: str
    api: str
    state: Path

    def faults(self, *faults: dict[str, t.Any]) -> None:
        """What goes wrong on its machines from now on."""
        (self.state / "kadeploy/faults.json").write_text(json.dumps(faults))


def _serve(name: str, state: Path, options: dict[str, t.Any], *more: str) -> tuple[subprocess.Popen[str], str]:
    state.mkdir(parents=True)
    (state / "options.json").write_text(json.dumps(options))
    command = [sys.executable, str(SIMULATORS / name / "serve"), "--port", "0", "--state", str(state), *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ready, url = process.stdout.readline().split()
    assert ready == "ready"
    return process, url


@pytest.fixture(params=["3.3.11", "3.9.3"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> t.Iterator[Site]:
    """A site, with either Kadeploy."""
    automaton = "classical" if request.param == "3.3.11" else "grid5000"
    clusters = {nodes.split("-", maxsplit=1)[0]: {"nodes": [nodes], "automaton": automaton} for nodes in NODES}
    options = {"version": request.param, "pace": PACE, "clusters": clusters, "rights": {}}
    options["environments"] = [{**_ENVIRONMENT, "user": "deploy"}]
    if request.param == "3.3.11":
        del options["environments"][0]["alias"]
    kadeploy, url = _serve("kadeploy", tmp_path / "kadeploy", options)
    api, api_url = _serve("g5k_api", tmp_path / "api", {"pace": PACE}, "--kadeploy", url)
    try:
        yield Site(url, api_url, tmp_path)
    finally:
        for process in (api, kadeploy):
            process.terminate()
            process.wait(60)


COMPOSITION = """
{ ... }:
{
  roles.head.packages = [ "python3" ];
  roles.worker.packages = [ "python3" ];
}
"""


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Path]:
    """An inventory with the deployment ``lab``, of containers ``head``, ``worker1`` and ``worker2``."""
    directory = tmp_path_factory.mktemp("lab")
    composition = directory / "composition"
    composition.mkdir()
    (composition / "composition.nix").write_text(COMPOSITION)
    lock = json.loads((ROOT / "compositions/web/compose.lock.json").read_text())
    backend = lock["roles"]["backend"]
    role = {"packages": backend["packages"], "requested": ["python3"]}
    (composition / "compose.lock.json").write_text(json.dumps({**lock, "roles": {"head": role, "worker": role}}))
    deployment = {
        "plugin": "immutable.compose.composition",
        "composition": "composition",
        "platform": "nspawn",
        "network": "10.89.0.0/16",
        "roles": {"worker": 2},
        "state_dir": str(directory / "state"),
        "stable_for": 0,
    }
    path = directory / "lab.compose.yml"
    path.write_text(yaml.safe_dump(deployment))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)  # EnOSlib writes its playbooks there
        patch.setenv("ANSIBLE_COLLECTIONS_PATH", str(ROOT / ".cache/collections"))
        patch.setenv("ANSIBLE_LOCALHOST_WARNING", "false")
        patch.syspath_prepend(str(ROOT / "clients"))
        yield path
        command = [ANSIBLE / "ansible-playbook", "-i", path, "immutable.compose.destroy", "-e", "compose_data=true"]
        subprocess.run(command, check=True, capture_output=True)
