"""What images of NixOS Compose are told, told as their stage 1 reads it."""

from __future__ import annotations

import base64
import json
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.images import handover as nxc_handover
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Boot, Target
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.document import Access, NodeDocument, Peer
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image, ImageFile, NixosCompose
from ansible_collections.immutable.compose.plugins.module_utils.platforms.podman.platform import Podman
from ansible_collections.immutable.compose.plugins.module_utils.platforms.qemu.platform import Qemu
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from ..model.samples import document

SYSTEM = f"/nix/store/{'a' * 32}-nixos-system-unnamed-25.05"


def image(flavour: str, bundle: str = "/bundle") -> Image:
    handover = NixosCompose(
        kind="nxc",
        flavour=flavour,
        composition="oar",
        compositions_info_path="/nix/store/c-compositions-info.json",
        compose_info="/nix/store/i-compose-info.json",
        system=SYSTEM,
        all={"kernel": "/nix/store/k/kernel", "initrd": "/nix/store/i/initrd", "qemu_script": "/nix/store/q"},
    )
    formats = {name: ImageFile(name, 1, "") for name in ("kernel", "initrd")}
    return Image("node", "nxc", SYSTEM[11:], "amd64", formats, bundle, "extra=1", handover=handover)


def told(count: int = 2, **more: t.Any) -> NodeDocument:
    peers = [Peer(f"node{index}", "node", f"192.168.1.{index}") for index in range(1, count + 1)]
    peers.append(Peer("server", "server", "192.168.1.129"))
    access = Access("", "", ("ssh-ed25519 AAAA own", "ssh-ed25519 BBBB user"))
    return document(Node("node1", "node"), peers=tuple(peers), ssh=access, **more)


def handover(flavour: str, directory: Path, **more: t.Any) -> nxc_handover.Handover:
    return nxc_handover.Handover(image(flavour), told(**more), str(directory), str(directory / "node1"), "10.0.2.15")


def words(line: str) -> dict[str, str]:
    return dict(word.partition("=")[::2] for word in line.split())


def test_a_ramdisk_gets_everything_on_the_command_line(tmp_path: Path) -> None:
    given = handover("vm-ramdisk", tmp_path, parameters={"threads": 4})
    line = words(given.command_line())
    data = json.loads(base64.b64decode(line["deploy"]))
    assert data == {
        "ssh_key.pub": "ssh-ed25519 AAAA own\nssh-ed25519 BBBB user",
        "deployment": {
            "10.0.2.15": {"role": "node", "host": "node1"},
            "192.168.1.2": {"role": "node", "host": "node2"},
            "192.168.1.129": {"role": "server", "host": "server"},
        },
        "all": {"kernel": "/nix/store/k/kernel", "initrd": "/nix/store/i/initrd"},
        "composition": "oar",
        "compositions_info_path": "/nix/store/c-compositions-info.json",
        "parameters": {"threads": 4},
    }
    assert line["ip"] == "192.168.1.1:::::eth1"
    assert {"check_kernel_initrd", "net.ifnames", "extra"} <= line.keys()
    assert [share[0] for share in given.shares()] == ["shared"]
    assert not (tmp_path / "node1").exists()


def test_flavour_vm_gets_a_file_in_a_share_and_the_store(tmp_path: Path) -> None:
    given = handover("vm", tmp_path, count=60)
    line = words(given.command_line())
    assert line["deploy"] == "deploy/oar::vm.json" and line["flavour"] == "vm"
    shares = {tag: (directory, read_only) for tag, directory, read_only in given.shares()}
    assert shares["nix-store"] == ("/nix/store", True)
    assert shares["shared"] == (str(tmp_path / "shared"), False)
    directory, read_only = shares["nxc-composition"]
    data = json.loads(Path(directory, line["deploy"]).read_text())
    assert read_only and data["deployment"]["192.168.1.1"] == {"role": "node", "host": "node1"}
    assert len(data["deployment"]) == 61


def test_what_a_command_line_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match=r"what 31 nodes must know takes \d+ characters .* at most 2047"):
        handover("g5k-ramdisk", tmp_path, count=30).command_line()
    with pytest.raises(ComposeError, match=r"what 101 nodes must know takes \d+ characters .* at most 3840"):
        handover("g5k-ramdisk", tmp_path, count=100).command_line()
    assert handover("g5k-ramdisk", tmp_path, count=8).command_line()


def deployment(network: str = "192.168.1.0/24", **node: t.Any) -> Deployment:
    nodes = (Node("node1", "node", 1, "192.168.1.1", **node), Node("server", "server", 1, "192.168.1.129"))
    return Deployment("lab", "/p", "nxc", "qemu", nodes, network=network, state="/nowhere")


@pytest.mark.parametrize(
    ("network", "node", "message"),
    [
        ("10.87.0.0/16", {}, "network is 10.87.0.0/16, but nodes of NixOS Compose take it for a /24"),
        ("192.168.1.0/24", {"secrets": {"key": "x"}}, "node 'node1' has secrets, .* cannot be given: key"),
    ],
)
def test_what_an_image_of_nxc_cannot_do_is_refused(network: str, node: dict[str, t.Any], message: str) -> None:
    platform = Qemu(deployment(network, **node), Progress())
    with pytest.raises(InputError, match=message):
        platform.stage([Target(platform.deployment.nodes[0], image("vm"), told(), "")])


def test_the_emulator_boots_the_image_without_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = Qemu(replace(deployment(), state=str(tmp_path)), Progress())
    monkeypatch.setattr(platform, "_kvm_fault", lambda _image: "none")
    options = platform.effective_options(platform.deployment.nodes[0])
    command = platform.command("node1", Boot("qemu", image("vm"), told(), "digest", options))
    text = " ".join(command)
    assert "-drive" not in command
    assert "if=none" not in text
    for tag in ("shared", "nix-store", "nxc-composition"):
        assert f"mount_tag={tag}" in text
    assert "path=/nix/store,security_model=none,readonly=on" in text
    assert "deploy=deploy/oar::vm.json" in command[command.index("-append") + 1]


def test_a_container_finds_what_stage_1_would_leave(tmp_path: Path) -> None:
    directory = Path(nxc_handover.write_files(image("nspawn"), told(1), str(tmp_path)))
    found = {path.name: path.read_text() for path in directory.iterdir()}
    assert json.loads(found.pop("deployment.json"))["deployment"]["192.168.1.1"] == {"role": "node", "host": "node1"}
    assert found == {
        "hostname": "node1\n",
        "role": "node\n",
        "ip_addr": "192.168.1.1\n",
        "deployment-hosts": "192.168.1.1 node1\n192.168.1.129 server\n",
    }


def test_podman_refuses_what_it_cannot_start(tmp_path: Path) -> None:
    platform = Podman(replace(deployment(), state=str(tmp_path)), Progress())
    with pytest.raises(InputError, match="role 'node': platform 'podman' does not start images of NixOS Compose"):
        platform.stage([Target(platform.deployment.nodes[0], image("docker"), told(), "")])
