# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines boot stub images of NixOS Compose: Debian's kernel, and a stage 1 that reads what its own does."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import time
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest
from lab import PATIENCE, Lab

from ansible_collections.immutable.compose.plugins.module_utils.describe.document import node_document
from ansible_collections.immutable.compose.plugins.module_utils.images.image import read_image
from ansible_collections.immutable.compose.plugins.module_utils.images.layers import PACKAGES
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Target
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.document import Access
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image, ImageFile, NixosCompose
from ansible_collections.immutable.compose.plugins.module_utils.platforms.local.platform import LocalPlatform
from ansible_collections.immutable.compose.plugins.module_utils.platforms.nspawn.platform import Nspawn
from ansible_collections.immutable.compose.plugins.module_utils.platforms.qemu.platform import Qemu
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

SYSTEMS = {
    role: f"/nix/store/{letter * 32}-nixos-system-unnamed-25.05" for role, letter in (("node", "a"), ("server", "b"))
}
MODULES = ("virtio_pci", "virtio_net")
DHCP = '#!/bin/sh\n[ "$1" = bound ] && ip addr add $ip/24 dev $interface && ip route add default via $router\ntrue\n'


@pytest.fixture(scope="module")
def stub_image(lab_of: t.Callable[..., Lab], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kernel and initrd; the kernel and its modules are those of an example, which other tests have built, too."""
    lab = lab_of("nxc-kernel", "nfs", platform="qemu")
    lab.play("build", "--limit", "server")
    (built,) = (root for root in (lab.state / "roots").iterdir() if "+" not in root.name)
    bundle = read_image(str(built.resolve()))
    directory = tmp_path_factory.mktemp("stub-image")
    tree = directory / "tree"
    unpack = ["unsquashfs", "-no-progress", "-quiet", "-dest", str(directory / "root"), bundle.path("root")]
    parts = ("modules.dep", "kernel/drivers/virtio", "kernel/drivers/net/*.ko", "kernel/net/core")
    wanted = [f"{PACKAGES}/usr/lib/modules/*/{part}" for part in parts]
    subprocess.run([*unpack, *wanted], check=True, capture_output=True)
    (release,) = (directory / "root" / PACKAGES / "usr/lib/modules").iterdir()
    (tree / "modules").mkdir(parents=True)
    order = modules(release)
    for module in order:
        shutil.copy(release / module, tree / "modules")
    (tree / "modules/order").write_text("".join(f"{Path(module).name}\n" for module in order))
    (tree / "bin").mkdir()
    shutil.copy("/bin/busybox", tree / "bin")
    (tree / "bin/sh").symlink_to("busybox")
    jq = str(shutil.which("jq"))
    shutil.copy(jq, tree / "bin")
    for library in re.findall(
        r"(/\S+) \(0x", subprocess.run(["ldd", jq], check=True, capture_output=True, text=True).stdout
    ):
        (tree / library[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, tree / library[1:])
    shutil.copy(Path(__file__).parent / "nxc_stage1.sh", tree / "init")
    (tree / "dhcp").write_text(DHCP)
    for program in ("init", "dhcp"):
        (tree / program).chmod(0o755)
    (tree / "compositions-info.json").write_text(json.dumps({"composition": {"roles": SYSTEMS}}))
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    packed = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"], cwd=tree, input=names.encode(), capture_output=True, check=True
    )
    (directory / "initrd").write_bytes(gzip.compress(packed.stdout, 1))
    shutil.copy(bundle.path("kernel"), directory / "kernel")
    return directory


def modules(release: Path) -> list[str]:
    """The modules and what they need, in the order of loading."""
    needs = dict(line.split(":") for line in (release / "modules.dep").read_text().splitlines())
    order: dict[str, None] = {}
    for name in MODULES:
        (path,) = (path for path in needs if Path(path).stem == name)
        for each in [*reversed(needs[path].split()), path]:
            order[each] = None
    return list(order)


def image(directory: Path, role: str, flavour: str) -> Image:
    handover = NixosCompose(
        kind="nxc",
        flavour=flavour,
        composition="composition",
        system=SYSTEMS[role],
        all={"kernel": "/nix/store/k/kernel", "initrd": "/nix/store/i/initrd"},
    )
    formats = {name: ImageFile(name, 1, "") for name in ("kernel", "initrd")}
    return Image(role, "nxc", Path(SYSTEMS[role]).name, "amd64", formats, str(directory), handover=handover)


def test_a_stub_image_learns_its_role_and_peers_from_what_nxc_would_tell_it(stub_image: Path, tmp_path: Path) -> None:
    options = {"memory": 256, "ssh_port_base": 24021}
    nodes = (
        Node("node1", "node", 1, "192.168.1.1", options=options),
        Node("server", "server", 1, "192.168.1.129", options=options),
    )
    deployment = Deployment(
        "nxc-boot", "/p", "nxc", "qemu", nodes, network="192.168.1.0/24", state=str(tmp_path / "state")
    )
    platform = Qemu(deployment, Progress())
    flavours = {"node": "vm-ramdisk", "server": "vm"}
    images = {role: image(stub_image, role, flavour) for role, flavour in flavours.items()}
    platform.check(nodes)
    targets = []
    for node in nodes:
        document = node_document(
            deployment, node, interfaces=platform.interfaces(node),
            access=Access("", "", ("ssh-ed25519 AAAA one", "ssh-ed25519 BBBB two")),
        )  # fmt: skip
        targets.append(Target(node, images[node.role], document, "digest"))
    platform.stage(targets)
    try:
        outcomes = platform.switch(targets, lambda name, outcome: None)
        assert all(outcome.ok for outcome in outcomes.values()), outcomes
        said = {node.name: console(platform, node) for node in nodes}
    finally:
        platform.remove([node.name for node in nodes], data=True, tell=lambda name, outcome: None)
    assert (
        f"STAGE1 flavour=vm-ramdisk address=10.0.2.15 role=node host=node1 toplevel={SYSTEMS['node']}" in said["node1"]
    )
    assert "STAGE1 keys=2" in said["node1"]
    assert "STAGE1 hosts 192.168.1.129 server" in said["node1"] and "STAGE1 hosts 10.0.2.15 node1" in said["node1"]
    assert "STAGE1 reached 192.168.1.129" in said["node1"]
    assert "STAGE1 flavour=vm address=192.168.1.129 deploy=deploy/composition::vm.json shares=3" in said["server"]


def test_a_stub_system_boots_as_a_container_and_finds_its_name_and_peers(tmp_path: Path) -> None:
    system = tmp_path / "store" / f"{'c' * 32}-nixos-system-unnamed-25.05"
    (system / "etc").mkdir(parents=True)
    shutil.copy("/bin/busybox", system / "busybox")
    (system / "etc/os-release").write_text("ID=nixos\n")
    say = "echo STAGE2 $(busybox cat /etc/nxc/hostname /etc/nxc/role) $(busybox wc -l < /etc/nxc/deployment-hosts)"
    stop = "trap 'exit 0' 37; echo STAGE1 done; while busybox sleep 0.2; do :; done"
    (system / "init").write_text(f"#!{system}/busybox sh\nPATH={system}\n{say}\n{stop}\n")
    (system / "init").chmod(0o755)
    nodes = (Node("server", "server", 1, "192.168.1.129"), Node("node1", "node", 1, "192.168.1.1"))
    deployment = Deployment(
        "nxc-boot", "/p", "nxc", "nspawn", nodes, network="192.168.1.0/24", state=str(tmp_path / "state")
    )
    platform = Nspawn(deployment, Progress())
    bundle = image(tmp_path, "server", "nspawn")
    bundle = replace(
        bundle, formats={"toplevel": ImageFile(f"store/{system.name}", 1, "")}, identity=system.name,
        handover=replace(bundle.handover, system=str(system)),
    )  # fmt: skip
    document = node_document(
        deployment,
        nodes[0],
        interfaces=platform.interfaces(nodes[0]),
        access=Access("", "", ()),
    )
    platform.check(nodes)
    assert platform.stage([Target(nodes[0], bundle, document, "digest")])
    try:
        outcomes = platform.switch([Target(nodes[0], bundle, document, "digest")], lambda name, outcome: None)
        assert outcomes["server"].ok, outcomes
        assert "STAGE2 server server 2" in console(platform, nodes[0])
    finally:
        platform.remove(["server"], data=True, tell=lambda name, outcome: None)
        platform.teardown()


def console(platform: LocalPlatform, node: Node) -> str:
    """The console, once stage 1 is through."""
    end = time.monotonic() + PATIENCE
    text = ""
    while time.monotonic() < end:
        text = platform.console(node, 200)
        assert "Kernel panic" not in text, text
        if "STAGE1 done" in text:
            return text
        time.sleep(0.2)
    raise AssertionError(text)
