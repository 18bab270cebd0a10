# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platform ``qemu``: nodes are virtual machines on this host, without any privilege. PRIVATE to the collection."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import threading
import typing as t

from ...describe.options import Option
from ...errors import ComposeError, InputError, in_words
from ...images import handover as nxc_handover
from ...model.boot import Boot, Target
from ...model.deployment import Deployment, Node
from ...model.document import Interface, Match
from ...model.free import Options
from ...model.image import Image
from ...model.result import Problem
from ...nodes.endpoint import Endpoint
from ...progress import Progress
from ..base import distinct_images
from ..hands import HasCable, HasKeyboard
from ..local import machine
from ..local.limits import Needs
from ..local.platform import image_files
from ..local.ports import require_free
from ..local.processes import ProcessPlatform
from ..local.records import NodeState
from ..problems import missing, noting
from . import qmp
from .kvm import is_emulated, kvm_fault

PROGRAM = "qemu-system-x86_64"

#: Ports between the first nodes of two roles.
_PORTS_PER_ROLE = 100

#: The interface that leads to the other nodes.
_NODES = "nodes"

#: Seconds between two times that a guest is asked to stop.
_KEY_INTERVAL = 4

#: Characters of a disk's serial number, by which the guest finds a volume.
_SERIAL_LENGTH = 20

#: Formats of images that need no root file system beside the initrd.
KERNEL = ("kernel", "initrd")

#: Where QEMU's own DHCP server begins, within the network for the way out of a guest.
_GUEST = 15

#: Networks for the way out of a guest (QEMU's own choice first): one that the deployment's own network leaves free.
_USER_NETWORKS = ("10.0.2.0/24", "172.31.255.0/24")


class Qemu(ProcessPlatform, HasCable, HasKeyboard):
    """Virtual machines with a loopback port for SSH and a private network among them."""

    name = "qemu"
    formats = ("root", "kernel", "initrd")
    options = {
        "memory": Option(int, 512, "Memory of the virtual machine, in MiB."),
        "cpus": Option(int, 1, "Number of virtual processors."),
        "ssh_port": Option(
            int,
            None,
            "Port of the loopback interface that leads to the node's SSH server. By default O(ssh_port_base), plus 100 "
            "for each role before the node's own in alphabetical order, plus the index of the node, or the next port "
            "that no other node of the deployment has; a node keeps its port for as long as it exists.",
        ),
        "ssh_port_base": Option(int, 22100, "First port for nodes without an O(ssh_port) of their own."),
    }
    # env starts the emulator in the node's directory, where a socket's name is short enough.
    programs = (PROGRAM, "env")

    def __init__(self, deployment: Deployment, progress: Progress) -> None:
        super().__init__(deployment, progress)
        self._ports: dict[str, int] = {}
        self._lock = threading.Lock()

    # -- addresses -----------------------------------------------------------------------------------------------

    def ports(self) -> dict[str, int]:
        """Node → port for SSH. Does not change for a node that exists, whatever nodes come and go."""
        if self._ports:
            return self._ports
        ports: dict[str, int] = {}
        taken = set()
        roles = sorted({node.role for node in self.deployment.nodes})
        nodes = {node.name: node for node in self.deployment.nodes}
        for name in {*nodes, *NodeState.names(self.state)}:
            record, _verified = self.node_state(name).readable()
            kept = None if record is None else record.options
            if name in nodes and self.option(nodes[name], "ssh_port") is not None:
                ports[name] = self.option(nodes[name], "ssh_port")
            elif kept and (name not in nodes or kept["ssh_port_base"] == self.option(nodes[name], "ssh_port_base")):
                ports[name] = int(str(kept["ssh_port"]))
            taken.add(ports.get(name))
        for node in self.deployment.nodes:
            if node.name not in ports:
                port = self.option(node, "ssh_port_base") + roles.index(node.role) * _PORTS_PER_ROLE + node.index
                while port in taken:
                    port += 1
                taken.add(port)
                ports[node.name] = port
        self._ports = ports
        return ports

    def effective_options(self, node: Node) -> Options:
        return {**super().effective_options(node), "ssh_port": self.ports()[node.name]}

    def interfaces(self, node: Node) -> tuple[Interface, ...]:
        length = ipaddress.IPv4Network(self.deployment.network).prefixlen
        return (
            Interface(Match(mac=self._mac(node.name, "ssh")), dhcp=True),
            Interface(Match(mac=self._mac(node.name, "nodes")), f"{node.address}/{length}"),
        )

    def endpoint(self, node: Node) -> Endpoint:
        return Endpoint("127.0.0.1", self.ports()[node.name], forwarded=True)

    def _mac(self, name: str, interface: str) -> str:
        """52:54 (QEMU's own, locally administered) and four bytes that depend on the names only."""
        digest = hashlib.sha256(f"{self.deployment.name}/{name}/{interface}".encode()).digest()
        return "52:54:" + ":".join(f"{byte:02x}" for byte in digest[:4])

    def _group(self) -> str:
        """Multicast group and port, on the loopback interface, that are the private network of this deployment."""
        digest = hashlib.sha256(f"{self.state}/{self.deployment.name}".encode()).digest()
        return f"230.{digest[0]}.{digest[1]}.{digest[2]}:{20000 + int.from_bytes(digest[3:5], 'big') % 10000}"

    # -- before anything is touched ------------------------------------------------------------------------------

    def check(self, nodes: t.Sequence[Node]) -> list[Problem]:
        problems = missing(PROGRAM, "env") + super().check(nodes)
        for node in nodes:
            for key in ("memory", "cpus"):
                value = self.option(node, key)
                if value < 1:
                    problems.append(Problem(f"{key} is {value}, expected 1 or more", key=key, node=node.name))
        return problems + self._check_ports(nodes)

    def _check_ports(self, nodes: t.Sequence[Node]) -> list[Problem]:
        """Ports that nodes cannot have: of others, or of another process."""
        problems: list[Problem] = []
        running = self.running(node.name for node in nodes)
        ports = self.ports()
        beside = self._ports_beside()
        users: dict[int, list[str]] = {}
        for name, port in sorted(ports.items()):
            users.setdefault(port, []).append(name)
        for node in nodes:
            port = ports[node.name]
            record, _verified = self.node_state(node.name).readable()
            has_it = node.name in running and record is not None and record.options["ssh_port"] == port
            with noting(
                problems,
                node.name,
                key="ssh_port",
                remedy="give the platform another ssh_port_base in the deployment file, or the node another ssh_port",
            ):
                if len(users[port]) > 1:
                    names = " and ".join(map(repr, users[port]))
                    raise InputError(f"nodes {names} have the same ssh_port {port}")
                if not has_it and port in beside:
                    raise InputError(f"port {port} is that of {beside[port]}, which this run starts, too")
                if not has_it:
                    require_free(port)
        return problems

    def _ports_beside(self) -> dict[int, str]:
        """Port → node of another deployment that is started in the same run."""
        return {
            other.platform.ports()[node.name]: f"node {node.name!r} of deployment {other.platform.deployment.name!r}"
            for other in self.neighbours
            if isinstance(other.platform, Qemu)
            for node in other.nodes()
        }

    def needs(self, node: Node) -> Needs:
        """Of memory what a guest has at its disposal; emulation takes about as much again for translated code."""
        memory = self.option(node, "memory")
        emulated = is_emulated(self.state)
        return Needs(tasks=2 + self.option(node, "cpus"), memory=2 * memory if emulated else memory)

    def stage(self, targets: t.Sequence[Target]) -> bool:
        """Nothing is copied; sees to it that the images can be booted."""
        images = distinct_images(targets)
        for image in images:
            if nxc_handover.is_nxc(image):
                nxc_handover.check(image, self.deployment, self.deployment.nodes)
            image_files([image], KERNEL if nxc_handover.is_nxc(image) else self.formats)
            for volume in image.volumes:
                if len(volume) > _SERIAL_LENGTH:
                    raise InputError(
                        f"role {image.role!r}: the volume name {volume!r} has more than {_SERIAL_LENGTH} characters"
                    )
        fault = self._kvm_fault(images[0]) if images else ""
        if fault:
            self.progress.say(f"nodes are emulated, which is slow, without KVM: {fault}")
        return False

    def _kvm_fault(self, image: Image) -> str:
        with self._lock:
            return kvm_fault(PROGRAM, image.path("kernel"), self.state, self.progress)

    # -- one machine ---------------------------------------------------------------------------------------------

    def command(self, name: str, record: Boot) -> list[str]:
        state = self.node_state(name)
        image, options = record.image, record.options
        accelerator = ["tcg,thread=multi", "-cpu", "max"] if self._kvm_fault(image) else ["kvm", "-cpu", "host"]
        user = self._user_network()
        command = ["env", f"--chdir={state.directory}", PROGRAM]
        command += ["-name", f"compose-{self.deployment.name}-{name}", "-uuid", self.marker(name)]
        command += ["-machine", "q35", "-accel", *accelerator]
        command += ["-smp", str(options["cpus"]), "-m", str(options["memory"])]
        command += ["-nodefaults", "-no-user-config", "-display", "none", "-device", "virtio-rng-pci"]
        command += ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]
        command += ["-qmp", "unix:qmp,server=on,wait=off"]
        command += ["-kernel", image.path("kernel"), "-initrd", image.path("initrd")]
        if nxc_handover.is_nxc(image):
            route = str(ipaddress.IPv4Network(user).network_address + _GUEST)
            handover = nxc_handover.Handover(image, record.document, self.state, state.directory, route)
            command += ["-append", handover.command_line()]
            for tag, directory, read_only in handover.shares():
                command += _share(tag, directory, read_only)
        else:
            command += ["-append", f"{image.cmdline} console=ttyS0".strip()]
            command += _disk("root", image.path("root"), "readonly=on")
        for volume, spec in image.volumes.items():
            path = os.path.join(state.volumes, f"{volume}.raw")
            _make_disk(path, spec.size)
            command += _disk(volume, path, "cache=writeback,discard=unmap", f",serial={volume}")
        command += _nic(
            "ssh", f"user,net={user},hostfwd=tcp:127.0.0.1:{options['ssh_port']}-:22", self._mac(name, "ssh")
        )
        command += _nic(_NODES, f"socket,mcast={self._group()},localaddr=127.0.0.1", self._mac(name, "nodes"))
        return [*command, "-fw_cfg", f"name=opt/immutable.compose/node,file={_escape(state.document)}"]

    def _user_network(self) -> str:
        own = ipaddress.IPv4Network(self.deployment.network)
        return next(each for each in _USER_NETWORKS if not ipaddress.IPv4Network(each).overlaps(own))

    def _monitor(self, name: str) -> str:
        return os.path.join(self.node_state(name).directory, "qmp")

    def is_up(self, name: str, pid: int) -> bool:
        """Once the emulator answers: then it has all its files, sockets and devices."""
        try:
            qmp.execute(self._monitor(name), [])
        except ComposeError:
            return False
        return True

    def shut_down(self, name: str, handle: int, seconds: int) -> bool:
        """Ctrl-Alt-Del, which every init understands, even without a daemon for the power button; then no new boot.

        Said again and again: a guest that is just booting does not listen yet.
        """
        keys = [{"type": "qcode", "data": key} for key in ("ctrl", "alt", "delete")]
        commands: list[tuple[str, t.Mapping[str, t.Any]]] = [
            ("set-action", {"reboot": "shutdown", "panic": "shutdown"}),
            ("send-key", {"keys": keys}),
        ]
        for _elapsed in range(0, seconds, _KEY_INTERVAL):
            try:
                qmp.execute(self._monitor(name), commands)
            except ComposeError as error:
                if machine.wait(handle, 1):
                    return True
                self.progress.say(f"{name}: {error}")
                return False
            if machine.wait(handle, _KEY_INTERVAL):
                return True
        return False

    # -- what test scripts ask for ---------------------------------------------------------------------------------

    def plug(self, node: Node, *, plugged: bool) -> None:
        qmp.execute(self._monitor(node.name), [("set_link", {"name": _NODES, "up": plugged})])

    def way_around(self, node: Node) -> Endpoint:
        return self.endpoint(node)  # by an interface of its own

    def keyboard(self, name: str) -> str:
        return os.path.join(self.node_state(name).directory, "keyboard")

    def type_text(self, node: Node, text: str) -> None:
        try:
            pipe = os.open(self.keyboard(node.name), os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            why = f"nobody reads what is typed on its console: {in_words(error)}"
            raise ComposeError(why, node=node.name) from None
        try:
            os.write(pipe, text.encode())
        except BlockingIOError:
            raise ComposeError("its console takes nothing that is typed", node=node.name) from None
        finally:
            os.close(pipe)


def _make_disk(path: str, size: int) -> None:
    """A sparse file of ``size`` MiB; one that exists may grow (the guest grows its file system), but never shrinks."""
    if os.path.exists(path):
        if os.path.getsize(path) < size << 20:
            os.truncate(path, size << 20)
    else:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(f"{path}.new", "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as stream:
            stream.truncate(size << 20)
        os.replace(f"{path}.new", path)


def _disk(name: str, path: str, how: str, serial: str = "") -> list[str]:
    drive = f"if=none,id=disk-{name},format=raw,{how},file={_escape(path)}"
    return ["-drive", drive, "-device", f"virtio-blk-pci,drive=disk-{name}{serial}"]


def _share(tag: str, path: str, read_only: bool) -> list[str]:
    options = f"local,id=share-{tag},path={_escape(path)},security_model=none,readonly={'on' if read_only else 'off'}"
    return ["-fsdev", options, "-device", f"virtio-9p-pci,fsdev=share-{tag},mount_tag={tag}"]


def _nic(name: str, netdev: str, mac: str) -> list[str]:
    return ["-netdev", f"{netdev},id={name}", "-device", f"virtio-net-pci,netdev={name},mac={mac},romfile="]


def _escape(path: str) -> str:
    """A path in an option of QEMU whose parts are separated by commas."""
    return path.replace(",", ",,")
