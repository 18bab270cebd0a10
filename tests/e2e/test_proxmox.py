# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines of a simulated Proxmox VE that really boot their disks: deploy, replace, go back."""

from __future__ import annotations

import os
import subprocess
import typing as t
from pathlib import Path

import pytest
from lab import NEW, ROOT, Lab, Run, changed

pytestmark = pytest.mark.guests

SCRIPT = """
  testScript = ''
    import json

    program = "import urllib.request as u; print(u.urlopen('http://localhost:8080/').read().decode())"
    answer = json.loads(backend.wait_until_succeeds(f'python3 -c "{program}"'))
    assert answer["visits"] > 0, answer
  '';
}
"""


class Cluster(Lab):
    """A backend and a database on a simulated cluster, in a network of its own."""

    def __init__(self, directory: Path) -> None:
        platform = {"name": "proxmox", "storage": "local", "memory": 384, "shutdown_timeout": 300}
        roles = {"backend": ["backend"], "proxy": 0}
        super().__init__(directory, "web", {"platform": platform, "roles": roles, "boot_timeout": 900})
        self.drop_test_script()
        path = self.composition / "composition.nix"
        path.write_text(path.read_text().rstrip().removesuffix("}") + SCRIPT)
        self.entered = False
        self.commands = directory / "commands"
        self.commands.mkdir()

    def simulator(self, *command: str) -> list[str]:
        """A command of the script that has the simulator."""
        return ["env", f"PROXMOX_DEMO={self.directory}/pve", str(ROOT / "tests/tools/demo_proxmox.sh"), *command]

    def program(self, name: str) -> str:
        """Ansible's commands run where cluster and nodes are reached, once that place is there."""
        if not self.entered:
            return super().program(name)
        path = self.commands / name
        if not path.exists():
            path.write_text('#!/bin/sh\nexec {} "$@"\n'.format(" ".join(self.simulator("run", super().program(name)))))
            path.chmod(0o755)
        return str(path)

    def ssh(self, node: str, command: str) -> subprocess.CompletedProcess[str]:
        ssh = ["ssh", "-F", str(self.state / "ssh_config"), "-o", "BatchMode=yes", node, command]
        return subprocess.run(
            self.simulator("run", *ssh),
            capture_output=True,
            text=True,
            env=self.environment(),
            timeout=120,
            check=False,
        )

    def nodes(self) -> list[str]:
        return ["backend", "database"]

    def visits(self) -> int:
        """What the database keeps on its data disk."""
        return int(self.ssh("database", "redis-cli --raw get visits").stdout or 0)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Cluster]:
    lab = Cluster(tmp_path_factory.mktemp("vms"))
    # Outside, where the Debian mirror is reached.
    lab.play("build", "-e", '{"compose_formats": ["qcow2"]}')
    subprocess.run(lab.simulator("start"), env=lab.environment(), timeout=120, check=True)
    lab.entered = True
    yield lab
    subprocess.run(lab.simulator("stop"), env=lab.environment(), timeout=120, check=True)
    assert not os.path.exists(lab.directory / "pve")


@pytest.fixture(scope="module")
def first(fresh: Cluster) -> Run:
    """The first deploy."""
    return fresh.play("deploy")


@pytest.fixture(scope="module")
def lab(fresh: Cluster, first: Run) -> Cluster:
    assert first.returncode == 0
    return fresh


def test_machines_boot_and_are_verified(lab: Cluster, first: Run) -> None:
    assert set(first.recap) == {"backend", "database"}
    assert first.said("verify") and first.said("release 1")
    assert lab.ssh("backend", "hostname").stdout == "backend\n"
    assert lab.ssh("database", "findmnt --noheadings --output SOURCE /var/lib/redis").stdout.startswith("/dev/vd")
    assert lab.visits() > 0


def test_a_second_run_changes_nothing(lab: Cluster) -> None:
    boots = lab.boots()
    assert lab.play("deploy").changed == 0
    assert lab.boots() == boots


def test_a_changed_role_is_replaced_and_its_data_stay(lab: Cluster) -> None:
    boots, images, visits = lab.boots(), lab.images(), lab.visits()
    lab.edit("appendonly yes", f"appendonly yes\n# {NEW}", "redis.conf")
    lab.play("deploy")
    assert changed(boots, lab.boots()) == {"database"}
    assert changed(images, lab.images()) == {"database"}
    assert lab.visits() > visits > 0
    # It was not switched off: it heard the power button.
    tasks = lab.directory / "pve/tasks"
    assert ":qmshutdown:" in (tasks / "index").read_text()
    assert not [log.name for log in tasks.glob("*.log") if "terminating" in log.read_text()]


def test_a_bad_image_is_taken_back(lab: Cluster) -> None:
    boots, images = lab.boots(), lab.images()
    lab.edit("return int(answer[1:])", f"return -int(answer[1:])  # {NEW}", "visits.py")
    run = lab.play("deploy", expect=2)
    assert run.said("AssertionError") and run.said("back on its last verified image")
    assert lab.images() == images
    assert changed(boots, lab.boots()) == {"backend"}
