# SPDX-License-Identifier: GPL-3.0-or-later
"""Two machines start nodes that have their root file system on one server. Emulated, both at once: many minutes."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from lab import Lab

from .conftest import lock_role
from .nfs_server import EXPORTED, PORT, exported
from .stock import Stock

#: Seconds for one to come up, or to be confirmed, while the other does the same.
PATIENCE = 2400


@pytest.fixture
def pair(disk: Path, stock: Stock, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[dict[str, Stock]]:
    """The nodes' machines, which run what their disks have."""
    second = Stock(disk, tmp_path_factory.mktemp("second"), 1)
    second.ready()
    yield {"app1": stock, "app2": second}
    second.stop()


@pytest.fixture
def export(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Path]:
    """The directory that a server exports."""
    directory = tmp_path_factory.mktemp("export")
    directory.chmod(0o755)  # root of a machine is nobody here
    with exported(directory, tmp_path_factory.mktemp("server")):
        yield directory


def test_two_nodes_have_their_roots_on_one_server(pair: dict[str, Stock], export: Path, tmp_path: Path) -> None:
    nodes = {
        name: {
            "address": stock.address,
            "options": {
                **stock.options(confirm_within=PATIENCE),
                "reboot_timeout": PATIENCE,
                "nfs": f"{stock.gateway}:{EXPORTED}",
                "nfs_dir": str(export),
            },
        }
        for name, stock in pair.items()
    }
    settings = {"platform": "kexec", "network": "10.0.0.0/16", "roles": {"app": list(pair)}, "nodes": nodes}
    lab = Lab(tmp_path, "web", {**settings, "boot_timeout": PATIENCE})
    lock_role(lab)

    def say(node: str, command: str) -> str:
        done = lab.ssh(node, command)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    run = lab.play("deploy")
    assert run.recap["app1"]["failed"] == run.recap["app2"]["failed"] == 0
    (image,) = set(lab.images().values())
    assert [str(path.relative_to(export)) for path in export.rglob("*.*")] == [f"{lab.name}/{image}.squashfs"]
    for node, stock in pair.items():
        assert say(node, "cat /etc/hostname /etc/greeting").splitlines()[-1] == "one"
        assert say(node, "findmnt --noheadings --output FSTYPE /") == "overlay"
        assert "/dev/vd" not in say(node, "cat /proc/mounts")
        # The root file system is a file that the server has: nothing of it travelled.
        assert say(node, "cat /sys/block/loop0/loop/backing_file") == f"/nfs/{lab.name}/{image}.squashfs"
        (server,) = say(node, "tail -n +2 /proc/fs/nfsfs/servers").splitlines()
        assert server.split()[2] == f"{PORT:x}" and server.split()[4] == stock.gateway
        assert say(node, "ls /run/compose/confirmed")
    boots = lab.boots()
    assert lab.play("deploy").changed == 0 and lab.boots() == boots

    lab.play("destroy")
    assert list(export.rglob("*.squashfs")) == []
    assert {stock.on_disk("hostname") for stock in pair.values()} == {"stock"}
