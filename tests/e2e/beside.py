# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that are sealed, warned of, and open, among hosts that were there before.

The nodes are hosts behind real SSH servers; what is written to their root file systems is known.
"""

from __future__ import annotations

import json
import os
import subprocess
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from lab import BIN, COLLECTIONS, PATIENCE
from target import Target, targets

HERE = Path(__file__).parent / "sealed"
#: Node → what its deployment file says.
MODES = {"sealed1": "refuse", "warned1": "warn", "open1": "off"}
COMPOSITION = {
    "schema": "immutable.compose/composition/1",
    "name": "shop",
    "builder": "debian",
    "path": "/",
    "digest": "0",
    "roles": {"front": {"name": "front"}},
}
VARIABLES = {"ansible_python_interpreter": "/usr/bin/python3", "ansible_pipelining": True}
SSH_CONFIG = """
Host {name}
  HostName 127.0.0.1
  Port {port}
  HostKeyAlias {name}
Host *
  User root
  IdentityFile {keys}/client
  StrictHostKeyChecking yes
  UserKnownHostsFile {keys}/known_hosts
"""


@dataclass
class Site:
    """An inventory with three deployments of one node each; the first has taken over a host that was there before."""

    directory: Path
    hosts: t.Mapping[str, Target]

    def run(self, program: str, *arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "PYTEST_"))}
        return subprocess.run(
            [str(BIN / program), "-i", str(self.directory / "inventory"), *map(str, arguments)],
            cwd=self.directory,
            env={
                **kept,
                "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
                "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
                "ANSIBLE_NOCOLOR": "1",
                "FETCHED": str(self.directory / "fetched"),
                "COLLECTED": str(self.directory / "collected"),
                **env,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def play_table(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the tasks of legacy playbooks, and judge what came of each: it goes through, or is refused."""
        played = self.run("ansible-playbook", HERE / "table.yml", *arguments)
        assert "Traceback" not in played.stdout + played.stderr and played.returncode == 0, played.stdout
        lines = (self.directory / "collected").read_text().splitlines()
        results = [Result(**json.loads(line)) for line in lines]
        assert len({result.task for result in results}) > 50
        assert [result for result in results if not result.right] == []
        # Not even the directories that Ansible makes for itself.
        assert self.hosts["sealed1"].written() == []
        return played


@dataclass(frozen=True)
class Result:
    """What came of a task on a node."""

    host: str
    task: str
    state: str
    said: t.Sequence[str]

    @property
    def right(self) -> bool:
        """Whether it is what the task's name says."""
        if self.host == "sealed1" and self.task.startswith("change "):
            return self.state == "failed" and all("sealed1 is sealed: " in said for said in self.said)
        return self.state == "ok" or (self.state == "skipped" and "in check mode" in self.task)


@contextmanager
def site_in(directory: Path) -> t.Iterator[Site]:
    """The inventory, and its hosts."""
    inventory, composition, keys = (directory / name for name in ("inventory", "shop", "keys"))
    for path in (inventory, composition, keys):
        path.mkdir()
    (composition / "composition.json").write_text(json.dumps(COMPOSITION))
    (composition / "composition.nix").write_text("{ ... }: { }")
    (inventory / "10-legacy.ini").write_text("[web]\nsealed1 ansible_host=192.0.2.10 ansible_user=admin\n")
    with targets(keys, MODES) as hosts:
        for node, mode in MODES.items():
            state = directory / "state" / mode
            state.mkdir(parents=True)
            (state / "ssh_config").write_text(SSH_CONFIG.format(name=node, port=hosts[node].port, keys=keys))
            role = {"hosts": "web", "take_over": True} if node == "sealed1" else {"names": [node]}
            deployment = {
                "plugin": "immutable.compose.composition",
                "composition": "../shop/composition.json",
                "name": mode,
                "platform": "nspawn",
                "network": f"10.{len(mode)}.0.0/16",
                "state_dir": str(directory / "state"),
                "roles": {"front": {**role, "variables": VARIABLES}},
            }
            # The default, and what YAML reads as a boolean.
            written = yaml.safe_dump(deployment) + ("" if mode == "refuse" else f"sealed: {mode}\n")
            (inventory / f"20-{mode}.compose.yml").write_text(written)
        (inventory / "90-machines.yml").write_text(yaml.safe_dump({"machines": {"children": {"immutable": {}}}}))
        yield Site(directory, hosts)
