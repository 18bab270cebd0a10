"""Virtual machines: their ports, what is refused, their command line. Real ones boot in the end-to-end tests."""

from __future__ import annotations

import getpass
import grp
import os
import socket
import stat
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Boot, Target
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Volume
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.image import ARCHITECTURES, Image, ImageFile
from ansible_collections.immutable.compose.plugins.module_utils.platforms.local import ports
from ansible_collections.immutable.compose.plugins.module_utils.platforms.problems import refuse
from ansible_collections.immutable.compose.plugins.module_utils.platforms.qemu import kvm
from ansible_collections.immutable.compose.plugins.module_utils.platforms.qemu.platform import PROGRAM, Qemu
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from ..conftest import AsNobody, HostWithout
from ..model.samples import document

BASE = 27200


class Machines:
    """Deployments in one state directory."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"

    def platform(self, names: str, **options: t.Any) -> Qemu:
        options = {"ssh_port_base": BASE, **options}
        nodes = tuple(
            Node(name, name[0], index, f"10.87.0.{index}", options=options)
            for index, name in enumerate(names.split(), 1)
        )
        return Qemu(Deployment("lab", "/composition", "debian", "qemu", nodes, state=str(self.state)), Progress())


@pytest.fixture
def machines(tmp_path: Path) -> Machines:
    return Machines(tmp_path)


def image(bundle: str, **volumes: Volume) -> Image:
    formats = {name: ImageFile(name, 1, "") for name in Qemu.formats}
    return Image(
        "node", "debian", "an-image", ARCHITECTURES[os.uname().machine], formats, bundle, "quiet", volumes=volumes
    )


def record(platform: Qemu, name: str, bundle: str = "/bundle", **volumes: Volume) -> Boot:
    (node,) = (node for node in platform.deployment.nodes if node.name == name)
    return Boot("qemu", image(bundle, **volumes), document(node), "digest", platform.effective_options(node))


def test_ports_follow_from_role_and_index(machines: Machines) -> None:
    assert machines.platform("b1 b2 a3").ports() == {"a3": BASE + 3, "b1": BASE + 101, "b2": BASE + 102}
    assert machines.platform("a1 a2", ssh_port_base=30000).ports() == {"a1": 30001, "a2": 30002}


def test_a_node_that_exists_keeps_its_port(machines: Machines) -> None:
    first = machines.platform("b1")
    first.node_state("b1").told(record(first, "b1"))
    assert first.ports() == {"b1": BASE + 1}
    assert machines.platform("a1 b1").ports() == {"a1": BASE + 2, "b1": BASE + 1}
    # Nor does another node get it while the old one is only about to be removed.
    assert machines.platform("a1").ports() == {"a1": BASE + 2, "b1": BASE + 1}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"memory": 0}, "node1, node2: memory is 0, expected 1 or more"),
        ({"cpus": -1}, "node1, node2: cpus is -1, expected 1 or more"),
        ({"ssh_port": BASE}, f"nodes 'node1' and 'node2' have the same ssh_port {BASE}"),
        ({"ssh_port_base": 70000}, "node1: port 70001 is not a port number, expected 1 to 65535"),
        ({"ssh_port_base": -1}, "node1: port 0 is not a port number, expected 1 to 65535"),
        ({"memory": 1 << 30}, " MiB of memory, but MemTotal is"),
    ],
)
def test_options_that_cannot_work(machines: Machines, options: dict[str, t.Any], why: str) -> None:
    platform = machines.platform("node1 node2", **options)
    with pytest.raises(ComposeError) as refused:
        refuse(platform.check(platform.deployment.nodes))
    assert why in str(refused.value)
    assert not machines.state.exists()


def test_all_that_is_wrong_is_told_at_once(machines: Machines) -> None:
    platform = machines.platform("node1 node2 node3", memory=0)
    node1, node2, node3 = platform.deployment.nodes
    nodes = [replace(node1, address=None), replace(node2, options={"cpus": 0, "ssh_port": 70000}), node3]
    platform.deployment = replace(platform.deployment, nodes=tuple(nodes))
    told = [(problem.node, problem.key, problem.message) for problem in platform.check(nodes)]
    assert told == [
        ("node1", "address", f"has no address on {platform.deployment.network}"),
        ("node1", "memory", "memory is 0, expected 1 or more"),
        ("node2", "cpus", "cpus is 0, expected 1 or more"),
        ("node3", "memory", "memory is 0, expected 1 or more"),
        ("node2", "ssh_port", "port 70000 is not a port number, expected 1 to 65535"),
    ]


def test_missing_programs_hide_no_mistakes(machines: Machines, host_without: HostWithout) -> None:
    platform = machines.platform("node1", cpus=0)
    host_without(PROGRAM)
    missing, cpus = platform.check(platform.deployment.nodes)
    assert "'qemu-system-x86_64' is not installed" in missing.message and cpus.key == "cpus"


def test_a_taken_port_is_told_with_its_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            ComposeError, match=rf"port {port} of 127.0.0.1 is taken by process {os.getpid()} \(.*python"
        ):
            ports.require_free(port)
    ports.require_free(port)


def test_ports_for_root_only(as_nobody: AsNobody) -> None:
    limit = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    assert limit > 81, "this host lets everybody listen on every port"
    with as_nobody(), pytest.raises(ComposeError, match=r"port 81 of 127.0.0.1 cannot be used: .*Permission denied"):
        ports.require_free(81)


def test_images_that_cannot_boot(machines: Machines, tmp_path: Path) -> None:
    platform = machines.platform("node1")

    def stage(bootable: Image) -> None:
        platform.stage([Target(platform.deployment.nodes[0], bootable, document(platform.deployment.nodes[0]), "")])

    with pytest.raises(ComposeError, match=f"image an-image: its file {tmp_path}/root is missing"):
        stage(image(str(tmp_path)))
    for name in Qemu.formats:
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=f"role 'node': the volume name '{'x' * 21}' has more than 20 characters"):
        stage(image(str(tmp_path), **{"x" * 21: Volume("/x", 1)}))
    with pytest.raises(ComposeError, match=r"image an-image is for s390x, but this host is a\w+64"):
        stage(replace(image(str(tmp_path)), architecture="s390x"))


def test_command_and_volumes(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    machines.state = machines.state.with_name("a,b")
    platform = machines.platform("node1", memory=700)
    monkeypatch.setattr(platform, "_kvm_fault", lambda image: "none here")
    words = platform.command("node1", record(platform, "node1", data=Volume("/data", 3)))
    line = " ".join(words)
    escaped = str(machines.state).replace(",", ",,")
    assert f"-uuid {platform.marker('node1')} " in line
    assert "-accel tcg,thread=multi " in line
    assert "-m 700 " in line
    assert "-append quiet console=ttyS0 " in line
    assert f"hostfwd=tcp:127.0.0.1:{BASE + 1}-:22," in line
    assert f"file={escaped}/volumes/node1/data.raw " in line
    assert f"name=opt/immutable.compose/node,file={escaped}/nodes/node1/in/node.json" in line
    volume = Path(platform.node_state("node1").volumes, "data.raw")
    assert volume.stat().st_size == 3 << 20
    assert stat.S_IMODE(volume.stat().st_mode) == 0o600
    with open(volume, "r+b") as stream:
        stream.write(b"data")
    for wanted, size in ((5, 5), (4, 5)):  # grows, never shrinks
        platform.command("node1", record(platform, "node1", data=Volume("/data", wanted)))
        assert volume.stat().st_size == size << 20
    assert volume.read_bytes().rstrip(b"\0") == b"data"


# -- KVM -----------------------------------------------------------------------------------------------------------


class Emulator:
    """A program that behaves like QEMU with a kernel, and counts how often."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.device = directory / "kvm"
        self.device.touch(mode=0o600)
        self.program = directory / "qemu"
        self.starts = directory / "starts"

    def fault(self, script: str) -> str:
        self.program.write_text(f"#!/bin/sh\necho >> {self.starts}\n{script}\n")
        self.program.chmod(0o755)
        return kvm.kvm_fault(str(self.program), "vmlinuz", str(self.state), Progress(), str(self.device))


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("echo 'Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block'", ""),
        ("echo 'failed to initialize kvm: No such device' >&2; exit 1", "a guest does not start: failed to initialize"),
        ("sleep 60", "a guest did not start in 0 s"),
        ("", "a guest does not start: no output"),
    ],
)
def test_kvm_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, fault: str) -> None:
    monkeypatch.setattr(kvm, "DEADLINE", 0.4)
    emulator = Emulator(tmp_path)
    first = emulator.fault(script)
    assert fault in first
    assert bool(fault) is bool(first)
    assert emulator.fault("echo something else") == first
    assert emulator.starts.read_text() == "\n"


def test_kvm_that_is_not_there_or_not_allowed(public: Path, as_nobody: AsNobody) -> None:
    emulator = Emulator(public)
    with as_nobody():
        fault = kvm.kvm_fault("qemu", "vmlinuz", str(emulator.state), Progress(), str(emulator.device))
    assert fault == f"no permission to use {emulator.device}"
    os.chown(emulator.device, 0, grp.getgrnam("daemon").gr_gid)
    emulator.device.chmod(0o660)
    with as_nobody():
        fault = kvm.kvm_fault("qemu", "vmlinuz", str(emulator.state), Progress(), str(emulator.device))
        user = getpass.getuser()
    assert fault.endswith(f"; to get it, run 'adduser {user} daemon' as root, then log in again")
    emulator.device.unlink()
    assert emulator.fault("") == f"there is no {emulator.device}"
    assert not emulator.starts.exists()
    assert not emulator.state.exists()
