# SPDX-License-Identifier: GPL-3.0-or-later
"""An emulated machine with a Debian on its disk, which all tests share, and a deployment of one node on it."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t
from pathlib import Path

import pytest
from lab import Lab

from .stock import Stock, make_disk

#: What the role of the test is: nothing but a system with a kernel.
COMPOSITION = """
{ ... }:
{
  roles.app = {
    kernel = "linux-image-cloud-amd64";
    files."/etc/greeting".text = "one\\n";
  };
}
"""


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory with kernel, initramfs and disk of a Debian; made once, for a minute."""
    directory = tmp_path_factory.mktemp("stock")
    make_disk(directory)
    return directory


@pytest.fixture(scope="session")
def machine(disk: Path, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Stock]:
    machine = Stock(disk, tmp_path_factory.mktemp("machine"))
    yield machine
    machine.stop()


@pytest.fixture
def stock(machine: Stock) -> Stock:
    """The machine, which runs what its disk has."""
    machine.ready()
    return machine


@pytest.fixture
def lab(stock: Stock, tmp_path: Path) -> Lab:
    """One node on the machine, not deployed yet."""
    nodes = {"app1": {"address": stock.address}}
    platform = {"name": "kexec", **stock.options()}
    settings = {"platform": platform, "network": "10.0.0.0/16", "roles": {"app": ["app1"]}, "nodes": nodes}
    lab = Lab(tmp_path, "web", settings)
    lock_role(lab)
    return lab


def lock_role(lab: Lab) -> None:
    """Give the composition the one role of these tests."""
    (lab.composition / "composition.nix").write_text(COMPOSITION)
    path = lab.composition / "compose.lock.json"
    lock = json.loads(path.read_text())
    role = lock["roles"]["database"]
    role["requested"] = [name for name in role["requested"] if name != "redis-server"]
    role["packages"] = [name for name in role["packages"] if "redis" not in name]
    lock["roles"] = {"app": role}
    path.write_text(json.dumps(lock))


def pytest_configure() -> None:
    if os.geteuid() != 0:
        pytest.exit("these tests make a disk, and build images: run them as root", 2)
    subprocess.run(["mmdebstrap", "--version"], check=True, stdout=subprocess.DEVNULL)
