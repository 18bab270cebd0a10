"""Kadeploy with two clusters of Grid'5000, and its API; both as programs."""

from __future__ import annotations

import json
import subprocess
import sys
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest

SIMULATORS = Path(__file__).resolve().parents[1] / "simulators"
PACE = 0.02
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
