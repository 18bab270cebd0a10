# SPDX-License-Identifier: GPL-3.0-or-later
"""The format ``installed``, as Kadeploy uses it: unpacked to a partition, its kernel booted with ``root=``."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from lab import PATIENCE, ROOT, Lab

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.builder import Debian
from ansible_collections.immutable.compose.plugins.module_utils.describe.document import document_digest, node_document
from ansible_collections.immutable.compose.plugins.module_utils.images.image import read_image
from ansible_collections.immutable.compose.plugins.module_utils.model import codec
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Boot, Target
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.document import Access, Disk, NodeDocument
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image, ImageFile
from ansible_collections.immutable.compose.plugins.module_utils.nodes.connection import Connection, connect
from ansible_collections.immutable.compose.plugins.module_utils.nodes.keys import Keys
from ansible_collections.immutable.compose.plugins.module_utils.platforms.qemu.platform import Qemu
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .partitions import Partition, make_disk

DEPLOY = "KDPL_DEPLOY_disk0"
UUID = "0b1b2b3b-4b5b-4b6b-8b7b-8b9babbbcbdb"
#: How a deployer may name the partition to the kernel; the last two are not there, or not said.
ROOTS = (f"root=UUID={UUID}", f"root=/dev/disk/by-partlabel/{DEPLOY}", "root=/dev/sdz3", "")


class FromPartition(Qemu):
    """Disk and kernel are the machine's own; nothing else is handed to it."""

    def command(self, name: str, record: Boot) -> list[str]:
        command = super().command(name, record)
        (root,) = (index for index, word in enumerate(command) if "id=disk-root," in word)
        command[root] = command[root].replace("readonly=on", "cache=unsafe")
        command[command.index("virtio-blk-pci,drive=disk-root")] = "scsi-hd,drive=disk-root"
        assert command[-2] == "-fw_cfg"
        return [*command[: root - 1], "-device", "virtio-scsi-pci", *command[root - 1 : -2]]


@dataclass
class Site:
    """A disk on which an image was installed, and the machine that has it."""

    image: Image
    platform: FromPartition
    document: NodeDocument
    #: The image as the machine boots it: its files are those on the partition.
    unpacked: Image
    disk: Path
    #: Partition → first byte and length.
    places: dict[str, tuple[int, int]]
    keys: Keys

    @property
    def node(self) -> Node:
        return self.platform.deployment.nodes[0]

    def boot(self, root: str) -> None:
        image = replace(self.unpacked, cmdline=f"{self.image.cmdline} {root}")
        target = Target(self.node, image, self.document, document_digest(self.document))
        outcomes = self.platform.switch([target], lambda name, outcome: None)
        assert outcomes[self.node.name].ok, outcomes[self.node.name].message

    def connect(self) -> Connection:
        """With the host key that was made before the first boot, and no other."""
        connection = connect(self.node.name, self.platform.endpoint(self.node), self.keys)
        connection.open(PATIENCE)
        return connection

    def digest(self, partition: str) -> str:
        start, size = self.places[partition]
        with self.disk.open("rb") as disk:
            disk.seek(start)
            return hashlib.sha256(disk.read(size)).hexdigest()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Built as users build it."""
    lab = Lab(tmp_path_factory.mktemp("installed"), "nfs", {"platform": "qemu", "roles": {"node": 0}})
    run = lab.play("build", "-e", '{"compose_formats": ["installed"]}')
    assert lab.play("build", "-e", '{"compose_formats": ["installed"]}').changed == 0
    return read_image(run.said('"server": "')[0].split('"')[3])


@pytest.fixture(scope="module")
def site(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    node = Node("server", "server", 1, "10.87.0.2", options={"ssh_port": 23910, "memory": 512})
    deployment = Deployment("installed", "/", "debian", "qemu", (node,), state=str(directory / "state"))
    platform = FromPartition(deployment, Progress())
    keys = Keys(platform.state)
    host = keys.host_key(node.name)
    document = node_document(
        deployment,
        node,
        interfaces=(),  # no machine of a site is known by its MAC addresses: what the site's DHCP says counts
        access=Access(host.private, host.certificate, (keys.login_public_key(),)),
    )
    tree, old, empty = directory / "tree", directory / "old", directory / "empty"
    tree.mkdir()
    empty.mkdir()
    subprocess.run(["tar", "-xzpf", image.path("installed"), "--numeric-owner", "-C", tree], check=True)
    # As a post-installation does it that thinks of nothing.
    (tree / "etc/compose/node.json").write_text(json.dumps(codec.encode(document)))
    (tree / "etc/compose/node.json").chmod(0o644)
    # Another image in another partition.
    (old / "usr/lib/compose").mkdir(parents=True)
    (old / "usr/lib/compose/identity").write_text("another-nfs-server\n")
    disk = directory / "disk"
    content = int(subprocess.run(["du", "-sm", tree], check=True, capture_output=True, text=True).stdout.split()[0])
    places = make_disk(
        disk,
        [
            Partition(1, "KDPL_SWAP_disk0", 8),
            Partition(2, "KDPL_PROD_disk0", 32, old),
            Partition(3, DEPLOY, content * 3 // 2, tree, UUID),
            # A file system with the name of the volume, as it is made where partitions keep their names …
            Partition(5, "KDPL_TMP_disk0", 32, empty, label="virtio-shared"),
            # … and a partition with a name of that kind.
            Partition(6, "virtio-spare", 8),
        ],
    )
    assert image.installed is not None
    files = {"kernel": image.installed.kernel[1:], "initrd": image.installed.initrd[1:], "root": "../disk"}
    unpacked = replace(
        image,
        formats={format_: ImageFile(file, (tree / file).stat().st_size, "") for format_, file in files.items()},
        bundle=str(tree),
        volumes={},
    )
    yield Site(image, platform, document, unpacked, disk, places, keys)
    platform.remove(["server"], data=True, tell=lambda name, outcome: None)


def test_the_archive_says_how_it_boots(image: Image) -> None:
    assert image.installed is not None and image.installed.compression == "gzip"
    with tarfile.open(image.path("installed"), "r:gz") as archive:
        entries = {entry.name: entry for entry in archive}
    for path in (image.installed.kernel, image.installed.initrd):
        assert entries[f".{path}"].isfile() and entries[f".{path}"].size > 1 << 20
    assert entries["./etc/compose"].mode == 0o700
    assert not {"./etc/hostname", "./etc/compose/node.json"} & set(entries)
    assert not [name for name in entries if name.startswith("./etc/ssh/ssh_host_")]


def test_it_boots_from_the_partition_and_forgets(site: Site) -> None:
    before = site.digest(DEPLOY)
    site.boot("root=/dev/sda3")
    connection = site.connect()

    def ask(command: str) -> str:
        output = connection.run(command, PATIENCE)
        assert output.returncode == 0, output
        return output.stdout.decode().strip()

    try:
        assert ask("cat /usr/lib/compose/identity") == site.image.identity
        assert ask("findmnt --noheadings --output FSTYPE /") == "overlay"
        assert ask("findmnt --noheadings --output SOURCE,FSTYPE /srv/shared").split() == ["/dev/sda5", "ext4"]
        assert ask("stat --format %a /srv/shared") == "1777"
        assert ask("readlink --canonicalize /dev/disk/by-id/virtio-spare") == "/dev/sda6"
        assert ask("hostname; cat /proc/cmdline").split()[0] == "server"
        assert ask("systemctl is-active nfs-server") == "active"
        assert ask("stat --format %a /etc/compose /run/compose/node.json").split() == ["700", "600"]
        for path in ("/etc/compose/node.json", "/run/compose/node.json"):
            assert connection.run(f"setpriv --reuid 65534 --clear-groups cat {path}", PATIENCE).returncode != 0
        ask("echo x > /etc/forgotten && rm -r /usr/share/common-licenses && echo x > /srv/shared/kept && sync")
        first = ask("cat /proc/sys/kernel/random/boot_id")
        connection.run("systemctl reboot", PATIENCE)
    finally:
        connection.close()
    connection = site.connect()
    try:
        assert ask("cat /proc/sys/kernel/random/boot_id") != first
        assert ask("cat /usr/lib/compose/identity; ls /srv/shared/kept /usr/share/common-licenses/GPL-3")
        assert ask("test ! -e /etc/forgotten && echo so") == "so"
    finally:
        connection.close()
    site.platform.remove(["server"], data=False, tell=lambda name, outcome: None)
    assert site.digest(DEPLOY) == before


def tell(site: Site, *disks: Disk) -> None:
    """The document of the next boot has these disks."""
    file = site.disk.parent / "node.json"
    file.write_text(json.dumps(codec.encode(replace(site.document, disks=disks))))
    commands = site.disk.parent / "commands"
    path = "/etc/compose/node.json"
    commands.write_text(f"rm {path}\nwrite {file} {path}\nset_inode_field {path} mode 0100600\n")
    place = f"{site.disk}?offset={site.places[DEPLOY][0]}"
    subprocess.run(["debugfs", "-w", "-f", str(commands), place], check=True, capture_output=True)


def test_data_volumes_on_disks_of_the_document(site: Site) -> None:
    """A partition without anything, while another file system has the name of the volume as its label."""
    shared = Disk("shared", "/dev/disk/by-partlabel/virtio-spare", "volume 'shared' of this test", f"{UUID[:-1]}a")
    tell(site, shared)
    before = site.digest("KDPL_TMP_disk0")
    mounted = "findmnt --noheadings --output SOURCE,FSTYPE /srv/shared"
    for kept in ("first\n", "first\nsecond\n"):
        site.boot("root=/dev/sda3")
        connection = site.connect()
        try:
            word = kept.split()[-1]
            output = connection.run(f"{mounted}; echo {word} >> /srv/shared/kept; cat /srv/shared/kept; sync", PATIENCE)
            assert output.stdout.decode().split(maxsplit=2) == ["/dev/sda6", "ext4", kept]
            assert connection.run("systemctl is-active nfs-server", PATIENCE).returncode == 0
            connection.run("systemctl poweroff", PATIENCE)
        finally:
            connection.close()
            site.platform.remove(["server"], data=False, tell=lambda name, outcome: None)
    # What is on the other one is somebody's: it is not mounted, though it has the name.
    tell(site, replace(shared, device="/dev/disk/by-partlabel/KDPL_TMP_disk0"))
    site.boot("root=/dev/sda3")
    connection = site.connect()
    try:
        output = connection.run(f"journalctl --no-pager --unit compose-disks; {mounted}", PATIENCE)
        said = output.stdout.decode()
        assert "disk /dev/disk/by-partlabel/KDPL_TMP_disk0 of shared: it holds ext4" in said and output.returncode != 0
        assert connection.run("systemctl is-active emergency.target", PATIENCE).returncode == 0
    finally:
        connection.close()
        site.platform.remove(["server"], data=False, tell=lambda name, outcome: None)
        tell(site)
    assert site.digest("KDPL_TMP_disk0") == before


@pytest.mark.parametrize("root", ROOTS)
def test_however_the_partition_is_named(site: Site, root: str) -> None:
    site.boot(root)
    connection = site.connect()
    try:
        assert connection.run("cat /usr/lib/compose/identity", PATIENCE).stdout.decode() == f"{site.image.identity}\n"
    finally:
        connection.close()
    site.platform.remove(["server"], data=False, tell=lambda name, outcome: None)


def test_the_same_bits_everywhere() -> None:
    debian = Debian(str(ROOT / "nix"), Progress())
    assert debian.check_reproducible(str(ROOT / "compositions/nfs"), {}, ["server"], ["installed"]) == {"server": ""}
