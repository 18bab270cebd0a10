# SPDX-License-Identifier: GPL-3.0-or-later
"""Two small deployments in one inventory: containers that boot in a second, of one composition each."""

from __future__ import annotations

import json
import stat
import subprocess
import typing as t
from pathlib import Path

import yaml
from lab import Lab, Run

COMPOSITION = """
{ setup, ... }:
{
  roles.app = {
    files."/etc/greeting".text = "v${toString (setup.params.v or 1)}\\n";
    volumes.data = { mount = "/srv/data"; };
  };
  rolesDistribution.app = 0;
  testScript = ''
SCRIPT
  '';
}
"""
SCRIPT = 'for machine in machines: machine.succeed("test -e /etc/greeting")'


class Tiny(Lab):
    """A lab whose inventory has the deployments ``one`` (nodes app…) and ``two`` (nodes named in ``two``)."""

    two: dict[str, t.Any]

    def script(self, text: str = SCRIPT) -> None:
        """Change the test script of ``one``."""
        _compose(self.composition, text)

    def write_two(self, **changes: t.Any) -> None:
        """Change the deployment file of ``two``."""
        self.two.update(changes)
        (self.inventory / "two.compose.yml").write_text(yaml.safe_dump(self.two))

    def state_of(self, node: str) -> Path:
        """State directory of the deployment that a node is of."""
        return next(state for state in self.state.parent.iterdir() if (state / "nodes" / node).exists())

    def on(self, node: str, command: str) -> str:
        """Output of a command on a node of either deployment."""
        done = subprocess.run(
            ["ssh", "-F", str(self.state_of(node) / "ssh_config"), "-o", "BatchMode=yes", node, command],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def boot_of(self, node: str) -> str:
        """Changes with each boot of a node."""
        return self.on(node, "cut -d ' ' -f 22 /proc/1/stat")

    def peers(self, node: str) -> set[str]:
        """The peers that a node knows."""
        return {peer["name"] for peer in json.loads(self.on(node, "cat /run/compose/node.json"))["peers"]}

    def running(self) -> set[str]:
        """Nodes of both deployments that run."""
        listed = subprocess.run(["pgrep", "-af", "systemd-nspawn"], capture_output=True, text=True, check=False).stdout
        return {
            word.removeprefix("--machine=")
            for line in listed.splitlines()
            if f"--directory={self.state.parent}/" in line
            for word in line.split()
            if word.startswith("--machine=")
        }

    def handed(self, *without: str) -> Path:
        """What a controller hands to a job: the exported inventory, without some hosts."""
        command = [self.program("ansible-inventory"), "-i", str(self.inventory), "--list", "--export"]
        done = subprocess.run(
            command, env=self.environment(), cwd=self.directory, capture_output=True, text=True, check=True
        )
        data = json.loads(done.stdout)
        for group in data.values():
            group["hosts"] = [host for host in group.get("hosts", ()) if host not in without]
        for host in without:
            data["_meta"]["hostvars"].pop(host, None)
        path = self.directory / "handed.sh"
        path.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(data)}\nEND\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def job(self, inventory: Path, playbook: str, *args: str, expect: int = 0) -> Run:
        """Run a playbook of the collection with another inventory."""
        mine, self.inventory = self.inventory, inventory
        try:
            return self.play(playbook, *args, expect=expect)
        finally:
            self.inventory = mine


def tiny(directory: Path, one: t.Any, two: t.Any, **settings: t.Any) -> Tiny:
    """The lab, not deployed yet.

    :param one: what ``roles.app`` of the deployment ``one`` is.
    :param two: the same of ``two``.
    """
    lab = Tiny(directory, "web", {"platform": "nspawn", "roles": {"app": one}, "boot_timeout": 120, **settings})
    lab.write(name="one")
    lab.state = directory / "state" / "one"
    other = directory / "compositions" / "other"
    other.mkdir()
    lock = json.loads((lab.composition / "compose.lock.json").read_text())
    lock["roles"] = {"app": {"requested": [], "packages": []}}
    for composition in (lab.composition, other):
        (composition / "compose.lock.json").write_text(json.dumps(lock))
        _compose(composition, SCRIPT)
    lab.two = {**lab.deployment, "composition": "../compositions/other", "name": "two", "roles": {"app": two}}
    lab.two["network"] = "10.88.0.0/16"
    lab.write_two()
    return lab


def _compose(composition: Path, script: str) -> None:
    (composition / "composition.nix").write_text(COMPOSITION.replace("SCRIPT", script))
