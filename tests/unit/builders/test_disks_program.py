"""The program of a node that prepares the disks of its data volumes, on files in place of disks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import typing as t
import uuid
from pathlib import Path

import pytest

from ...boot.partitions import Partition, make_disk
from .conftest import REPOSITORY

PROGRAM = REPOSITORY / "nix/debian/installed/usr/lib/compose/prepare-disks"


class Node:
    """A directory in place of a node with the volumes ``db`` and ``log``; its disks are files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        text = PROGRAM.read_text()
        for place in ("/run/compose", "/run/udev", "/usr/lib/compose"):
            text = text.replace(place, f"{root}{place}")
            (root / place[1:]).mkdir(parents=True)
        (root / "usr/lib/compose/volumes").write_text(
            "db\t/srv/db\troot\troot\t0755\nlog\t/srv/log\troot\troot\t0755\n"
        )
        self.program = root / "prepare-disks"
        self.program.write_text(text)
        self.program.chmod(0o755)
        (root / "bin").mkdir()
        (root / "bin/udevadm").write_text(f'#!/bin/sh\necho "$@" >>{root}/udev\n')
        (root / "bin/udevadm").chmod(0o755)

    def disk(self, name: str) -> Path:
        """An empty one."""
        path = self.root / name
        with path.open("wb") as file:
            file.truncate(8 << 20)
        return path

    def start(self, *disks: dict[str, t.Any], words: t.Sequence[str] = ()) -> subprocess.Popen[str]:
        """The program, with these disks in the node document."""
        (self.root / "run/compose/node.json").write_text(json.dumps({"disks": disks} if disks else {}))
        (self.root / "run/udev/rules.d/62-compose-disks.rules").unlink(missing_ok=True)
        path = f"{self.root}/bin:{os.environ['PATH']}:/usr/sbin:/sbin"
        pipe = subprocess.PIPE
        return subprocess.Popen([self.program, *words], stdout=pipe, stderr=pipe, text=True, env={"PATH": path})

    def prepare(self, *disks: dict[str, t.Any], refused: str = "", words: t.Sequence[str] = ()) -> str:
        """Run it to its end: what it says."""
        with self.start(*disks, words=words) as process:
            said, wrong = process.communicate(timeout=60)
        assert (process.returncode != 0) is bool(refused), said + wrong
        assert refused in wrong
        return said

    def links(self) -> dict[str, str]:
        """Name → disk, as udev is told."""
        rules = self.root / "run/udev/rules.d/62-compose-disks.rules"
        found = re.findall(
            r'KERNEL=="(.*?)", SYMLINK\+="disk/by-id/virtio-(.*?)"', rules.read_text() if rules.exists() else ""
        )
        return {name: disk for disk, name in found}


def volume(name: str, device: Path, owner: str = "web1", **more: t.Any) -> dict[str, t.Any]:
    words = f"volume {name!r} of role 'web' of composition 'c' (node {owner!r} of deployment 'd')"
    return {
        "name": name,
        "device": str(device),
        "owner": words,
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, words)),
        **more,
    }


def kind(disk: Path) -> str:
    """What `wipefs` says of a disk, in a line."""
    columns = ["--noheadings", "--output", "TYPE,UUID,LABEL"]
    return " ".join(
        subprocess.run(["wipefs", *columns, disk], capture_output=True, text=True, check=True).stdout.split()
    )


def label(disk: Path) -> str:
    """Of the file system."""
    return subprocess.run(["e2label", disk], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def put(disk: Path, text: str) -> None:
    """A file in the file system of a disk."""
    file = disk.parent / "content"
    file.write_text(text)
    subprocess.run(["debugfs", "-w", "-R", f"write {file} kept", disk], check=True, capture_output=True)


def content(disk: Path) -> str:
    return subprocess.run(["debugfs", "-R", "cat kept", disk], check=True, capture_output=True, text=True).stdout


def test_an_empty_disk_gets_a_file_system_once_and_keeps_its_data(node: Node) -> None:
    disk = node.disk("disk1")
    assert "making the file system for volume 'db' of role 'web'" in node.prepare(volume("db", disk))
    assert node.links() == {"db": "disk1"}
    assert label(disk) == "virtio-db"
    assert (node.root / "udev").read_text() == f"control --reload\ntrigger --settle --action=change {disk}\n"
    put(disk, "precious")
    before = disk.read_bytes()
    assert node.prepare(volume("db", disk, wipe=True, adopt=True)) == ""
    assert disk.read_bytes() == before and content(disk) == "precious" and node.links() == {"db": "disk1"}
    subprocess.run(["e2fsck", "-fn", disk], check=True, capture_output=True)


def test_data_of_others_are_kept_and_the_disk_gets_no_name(node: Node) -> None:
    disk, log = node.disk("disk1"), node.disk("disk2")
    node.prepare(volume("db", disk, owner="other1"))
    before = disk.read_bytes()
    refusal = (
        "it holds volume 'db' of role 'web' of composition 'c' (node 'other1' of deployment 'd'), which is kept: 'wipe'"
    )
    node.prepare(volume("db", disk), volume("log", log), refused=refusal)
    assert disk.read_bytes() == before and node.links() == {}
    # The other volume of the same node is another one, too.
    node.prepare(volume("log", disk, owner="other1"), refused="it holds volume 'db'")
    node.prepare(volume("db", disk, wipe=True))
    assert node.links() == {"db": "disk1"}


def test_data_are_handed_over(node: Node) -> None:
    disk = node.disk("disk1")
    node.prepare(volume("db", disk, owner="other1"))
    put(disk, "precious")
    subprocess.run(["e2label", disk, "virtio-former"], check=True)
    assert "taking over volume 'db' of role 'web'" in node.prepare(volume("db", disk, adopt=True))
    assert label(disk) == "virtio-db"
    assert node.prepare(volume("db", disk)) == "" and content(disk) == "precious"
    node.prepare(volume("db", disk, owner="other1"), refused="(node 'web1' of deployment 'd')")
    subprocess.run(["e2fsck", "-fn", disk], check=True, capture_output=True)


@pytest.mark.parametrize("adopt", [False, True])
@pytest.mark.parametrize("holds", ["ext4", "swap", "gpt"])
def test_what_is_none_of_ours(node: Node, holds: str, adopt: bool) -> None:
    disk = node.disk("disk1")
    if holds == "gpt":
        make_disk(disk, [Partition(1, "somebody", 8)])
    else:
        subprocess.run(["mkswap" if holds == "swap" else "mkfs.ext4", disk], check=True, capture_output=True)
    before = disk.read_bytes()
    node.prepare(volume("db", disk, adopt=adopt), refused=f"it holds {kind(disk)}, which is kept")
    assert disk.read_bytes() == before and kind(disk).startswith(holds)
    node.prepare(volume("db", disk, wipe=True))
    found = subprocess.run(
        ["wipefs", "--noheadings", "--output", "TYPE,UUID", disk], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["ext4", volume("db", disk)["uuid"]]


def test_names_are_claimed_before_anything_is_known(node: Node) -> None:
    """For the rules of devices, which give names by labels."""
    disk = node.disk("disk1")
    node.prepare(volume("db", disk), {"name": "osd", "device": str(node.root / "late")}, words=["claim"])
    assert {path.name for path in (node.root / "run/compose/disks").glob("virtio-*")} == {"virtio-db", "virtio-osd"}
    assert not disk.read_bytes().strip(b"\0") and node.links() == {}
    node.prepare(words=["claim"])


def test_killed_after_the_file_system_was_made(node: Node) -> None:
    disk = node.disk("disk1")
    wanted = volume("db", disk)
    subprocess.run(["mkfs.ext4", "-q", "-U", wanted["uuid"], disk], check=True)
    assert node.prepare(wanted) == "" and node.links() == {"db": "disk1"}


def test_a_raw_disk_is_left_as_it_is(node: Node) -> None:
    disk = node.disk("disk2")
    subprocess.run(["mkswap", disk], check=True, capture_output=True)
    before = disk.read_bytes()
    assert node.prepare({"name": "osd", "device": str(disk)}) == ""
    assert disk.read_bytes() == before and node.links() == {"osd": "disk2"}


def test_one_disk_by_two_names(node: Node) -> None:
    disk = node.disk("disk1")
    (node.root / "alias").symlink_to(disk)
    wanted = (volume("db", disk), volume("log", node.root / "alias"))
    node.prepare(*wanted, refused=f"alias of log: that is {disk}, which another one has")


def test_what_the_role_has_not_is_left(node: Node) -> None:
    disk = node.disk("disk1")
    node.prepare(volume("unknown", disk))
    node.prepare()
    assert not disk.read_bytes().strip(b"\0") and node.links() == {}


def test_a_disk_that_comes_late(node: Node) -> None:
    device = node.root / "late"
    process = node.start(volume("db", device))
    with process:
        time.sleep(1.5)
        assert process.poll() is None
        device.symlink_to(node.disk("disk1"))
        said, wrong = process.communicate(timeout=60)
    assert process.returncode == 0 and f"disk {device} of db: waiting for it" in wrong and "making" in said
    assert node.links() == {"db": "disk1"}


def test_a_disk_that_cannot_be_read(node: Node) -> None:
    (node.root / "directory").mkdir()
    node.prepare(volume("db", node.root / "directory"), refused="disk ")
    assert node.links() == {}
