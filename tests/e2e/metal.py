# SPDX-License-Identifier: GPL-3.0-or-later
"""A site of the stand-ins for Kadeploy and for the API of Grid'5000, whose machines really boot: containers."""

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

import requests
from lab import ROOT

SIMULATORS = ROOT / "tests/simulators"
#: One way through each macrostep: what fails, fails at once.
AUTOMATON = [
    ["SetDeploymentEnv", [["SetDeploymentEnvUntrusted", 0, 0]]],
    ["BroadcastEnv", [["BroadcastEnvChain", 0, 0]]],
    ["BootNewEnv", [["BootNewEnvClassical", 0, 0]]],
]


@dataclass
class Metal:
    """A Kadeploy with machines."""

    url: str
    state: Path

    def fail(self, *faults: dict[str, t.Any]) -> None:
        (self.state / "faults.json").write_text(json.dumps(faults))

    @property
    def machines(self) -> dict[str, dict[str, str]]:
        """Addresses, and ways there."""
        found: dict[str, dict[str, str]] = json.loads((self.state / "machines.json").read_text())
        return found

    @property
    def proxy_command(self) -> str:
        """The way to every machine."""
        (way,) = {each["proxy_command"].replace(each["address"], "%h") for each in self.machines.values()}
        return way

    def running(self) -> set[str]:
        """Machines on which something runs."""
        listed = subprocess.run(["pgrep", "-af", "systemd-nspawn"], capture_output=True, text=True, check=False).stdout
        return {name for name in self.machines if f"--directory={self.state}/machines/{name} " in listed}


@dataclass
class Site(Metal):
    """With an API where they are reserved."""

    api: str

    def jobs(self) -> list[tuple[str, str]]:
        """Name and state of each job that there was."""
        answer = requests.get(f"{self.api}/stable/sites/grenoble/jobs", auth=("alice", "alice"), timeout=30)
        return [(job["name"], job["state"]) for job in answer.json()["items"]]


@contextmanager
def served(name: str, state: Path, *args: str) -> t.Iterator[str]:
    """A stand-in, and where it is. Who interrupts us does not end it: what we clean up may need it."""
    command = [sys.executable, str(SIMULATORS / name / "serve"), "--state", str(state), *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[1]
        finally:
            os.kill(process.pid, signal.SIGTERM)
            process.wait(60)


@contextmanager
def metal_of(state: Path, names: str, **options: t.Any) -> t.Iterator[Metal]:
    """Machines of such names, ``sim-[1-3]``.

    :param state: directory of Kadeploy, with ``served``, which it fetches from.
    :param options: of the stand-in.
    """
    (state / "served").mkdir()
    cluster = {"nodes": [names], "automaton": AUTOMATON, "before_ping": 1, "reboot_timeout": 3000}
    chosen = {"pace": 0.02, "clusters": {"sim": cluster}, "rights": {}, **options}
    (state / "options.json").write_text(json.dumps(chosen))
    with served("kadeploy", state, "--machines", "nspawn") as url:
        yield Metal(url, state)


@contextmanager
def site_of(state: Path, api: Path, machines: int = 3, disks: int = 0, **options: t.Any) -> t.Iterator[Site]:
    """A site with so many machines: ``sim-1``, ``sim-2``, …

    :param state: directory of Kadeploy; :param api: that of the API.
    :param disks: scratch disks of each that can be reserved.
    :param options: of the stand-in for Kadeploy.
    """
    (api / "options.json").write_text(json.dumps({"pace": 0.02, "disks": disks}))
    with (
        metal_of(state, f"sim-[1-{machines}]", **options) as metal,
        served("g5k_api", api, "--kadeploy", metal.url) as where,
    ):
        yield Site(metal.url, metal.state, where)
