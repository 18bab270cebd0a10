# SPDX-License-Identifier: GPL-3.0-or-later
"""The formats that no platform here needs, but others do: a disk that boots by itself, a tar archive."""

from __future__ import annotations

import subprocess
import typing as t
from pathlib import Path

import pytest
from lab import PATIENCE, ROOT

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.builder import FORMATS, Debian
from ansible_collections.immutable.compose.plugins.module_utils.describe.document import document_digest, node_document
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Boot, Target
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.document import Access
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image
from ansible_collections.immutable.compose.plugins.module_utils.nodes.connection import connect
from ansible_collections.immutable.compose.plugins.module_utils.nodes.keys import Keys
from ansible_collections.immutable.compose.plugins.module_utils.platforms.qemu.platform import Qemu
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

COMPOSITION = str(ROOT / "compositions" / "nfs")


class FromDisk(Qemu):
    """The machine's own firmware finds boot loader, kernel and root on the disk, here one of SCSI."""

    def command(self, name: str, record: Boot) -> list[str]:
        command = super().command(name, record)
        at = command.index("-kernel")
        del command[at : at + len(("-kernel", "FILE", "-initrd", "FILE", "-append", "TEXT"))]
        (root,) = (index for index, word in enumerate(command) if "id=disk-root,format=raw" in word)
        command[root] = f"if=none,id=disk-root,format=qcow2,snapshot=on,file={record.image.path('qcow2')}"
        command[command.index("virtio-blk-pci,drive=disk-root")] = "scsi-hd,drive=disk-root"
        return [*command[: root - 1], "-device", "virtio-scsi-pci", *command[root - 1 :]]


@pytest.fixture(scope="module")
def debian() -> Debian:
    return Debian(str(ROOT / "nix"), Progress())


@pytest.fixture(scope="module")
def image(debian: Debian, tmp_path_factory: pytest.TempPathFactory) -> Image:
    roots = tmp_path_factory.mktemp("roots")
    return debian.build(COMPOSITION, {}, ["server"], FORMATS, str(roots))["server"]


@pytest.fixture
def platform(tmp_path: Path) -> t.Iterator[FromDisk]:
    node = Node("server", "server", 1, "10.87.0.2", options={"ssh_port": 23900, "memory": 512})
    platform = FromDisk(
        Deployment("disk", COMPOSITION, "debian", "qemu", (node,), state=str(tmp_path / "state")), Progress()
    )
    yield platform
    platform.remove(["server"], data=True, tell=lambda name, outcome: None)


@pytest.mark.guests
def test_a_disk_boots_by_itself(image: Image, platform: FromDisk) -> None:
    (node,) = platform.deployment.nodes
    keys = Keys(platform.state)
    host = keys.host_key(node.name)
    document = node_document(
        platform.deployment,
        node,
        interfaces=platform.interfaces(node),
        access=Access(host.private, host.certificate, (keys.login_public_key(),)),
    )
    target = Target(node, image, document, document_digest(document))
    outcomes = platform.switch([target], lambda name, outcome: None)
    assert outcomes["server"].ok, outcomes["server"].message
    connection = connect(node.name, platform.endpoint(node), keys)
    try:
        connection.open(PATIENCE)
        output = connection.run(
            "cat /usr/lib/compose/identity; findmnt --noheadings --output FSTYPE /; ls /sys/block", PATIENCE
        )
    finally:
        connection.close()
    identity, root, *disks = output.stdout.decode().split()
    assert (identity, root) == (image.identity, "overlay")
    assert "sda" in disks


def test_the_archive_holds_the_same_tree(image: Image) -> None:
    command = ["tar", "--extract", "--to-stdout", "--file", image.path("tar"), "./usr/lib/compose/identity"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == f"{image.identity}\n"


def test_the_installed_archive_has_the_same_tree_and_what_boots_it(image: Image) -> None:
    assert image.installed is not None
    boots = [f".{image.installed.kernel}", f".{image.installed.initrd}"]
    command = ["tar", "--extract", "--to-stdout", "--file", image.path("installed"), "./usr/lib/compose/identity"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == f"{image.identity}\n"
    listing = subprocess.run(
        ["tar", "--list", "--verbose", "--file", image.path("installed"), *boots, "./etc/compose"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    modes = {line.split()[-1]: line.split()[0] for line in listing}
    assert modes == {"./etc/compose/": "drwx------", **dict.fromkeys(boots, "-rw-r--r--")}


def test_every_format_is_reproducible(debian: Debian, image: Image) -> None:
    assert debian.check_reproducible(COMPOSITION, {}, ["server"], FORMATS) == {"server": ""}
