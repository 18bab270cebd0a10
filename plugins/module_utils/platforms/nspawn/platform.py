# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platform ``nspawn``: nodes are containers of systemd-nspawn on this host; needs root. PRIVATE to the collection."""

from __future__ import annotations

import os
import signal
import typing as t

from ...describe.options import words_of
from ...errors import ComposeError
from ...images import handover as nxc_handover
from ...model.boot import Boot, Target
from ...model.deployment import Deployment, Node
from ...model.document import Interface
from ...model.result import Problem
from ...nodes.endpoint import Endpoint
from ...progress import Progress
from ..base import distinct_images
from ..hands import HasCable
from ..local import machine
from ..local.cgroup import drop_cgroup, own_cgroup
from ..local.devices import DEVICES, unusable
from ..local.limits import CONTAINER, Needs
from ..local.netns import BRIDGE, Namespace, inside
from ..local.platform import image_files
from ..local.processes import ProcessPlatform
from ..problems import missing
from .roots import Roots

#: Whoever has booted has one; a chroot, or a container that only builds, may have none.
MACHINE_ID = "/etc/machine-id"


class Nspawn(ProcessPlatform, HasCable):
    """Containers on a bridge of their own, their root a volatile overlay over the image's squashfs."""

    name = "nspawn"
    formats = ("root",)
    boots_kernel = False
    folded = "folded"
    options = {"devices": DEVICES}
    # A container is started by programs that each become the next one.
    programs = ("systemd-nspawn", "nsenter", "sh", "systemd-run")

    def __init__(self, deployment: Deployment, progress: Progress) -> None:
        super().__init__(deployment, progress)
        self.namespace = Namespace(deployment.name, self.state)
        self.roots = Roots(self.state, progress)

    def check(self, nodes: t.Sequence[Node]) -> list[Problem]:
        self.require_root()
        if not _has_machine_id():
            raise ComposeError(
                f"{MACHINE_ID} is empty or missing, and systemd-nspawn needs it: run 'systemd-machine-id-setup' as root"
            )
        problems = missing("systemd-nspawn", "ip", "nsenter", "nc", "mount", "umount", "unsquashfs")
        return problems + unusable(nodes, self.deployment.nodes) + super().check(nodes)

    def needs(self, node: Node) -> Needs:
        return CONTAINER

    def interfaces(self, node: Node) -> tuple[Interface, ...]:
        return self.namespace.interfaces(str(node.address), self.deployment.network)

    def endpoint(self, node: Node) -> Endpoint:
        return self.namespace.endpoint(str(node.address))

    def stage(self, targets: t.Sequence[Target]) -> bool:
        images = distinct_images(targets)
        for image in images:
            if nxc_handover.is_nxc(image):
                nxc_handover.check(image, self.deployment, self.deployment.nodes)
            image_files([image], ("toplevel",) if "toplevel" in image.formats else self.formats)
        done = [self.roots.stage(image) for image in images]
        return any(done)

    def prune(self, keep: t.Collection[str]) -> None:
        self.roots.drop({*keep, *self.used()})

    def shares(self) -> list[str]:
        roots = [f"root file system {identity}" for identity in self.roots.names()]
        return [*roots, *self.namespace.there()]

    def teardown(self) -> None:
        super().teardown()
        self.roots.drop(set())
        self.namespace.remove()

    def command(self, name: str, record: Boot) -> list[str]:
        # Needed again after a reboot of the host, too.
        self.roots.stage(record.image)
        self.namespace.create(self.deployment.network)
        state = self.node_state(name)
        reads = [(state.document_directory, "/run/compose/in")]
        if nxc_handover.is_nxc(record.image):
            directory = nxc_handover.write_files(record.image, record.document, self.node_state(name).directory)
            store = os.path.dirname(record.image.handover.system)
            reads += [(store, store), (directory, "/etc/nxc")]
        nspawn = [
            "systemd-nspawn",
            "--boot",
            "--quiet",
            "--keep-unit",
            "--register=no",
            "--settings=no",
            f"--machine={name}",
            f"--uuid={self.marker(name)}",
            f"--directory={self.roots.path(record.image.identity)}",
            "--read-only",  # shares the directory with other containers; the overlay is writable all the same
            "--volatile=overlay",
            f"--network-bridge={BRIDGE}",
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
            "--console=read-only",
            *(f"--bind={_escape(source)}:{_escape(target)}" for source, target in state.mounts(record.image.volumes)),
            *(f"--bind={_escape(device)}" for device in words_of(record.options, "devices")),
            *(f"--bind-ro={_escape(source)}:{_escape(target)}" for source, target in reads),
        ]
        return own_cgroup(self._cgroup(name), self.namespace.enter(*nspawn))

    def is_up(self, name: str, pid: int) -> bool:
        """Once there is a child that runs another program, the image's init."""
        return _init(pid) is not None

    def shut_down(self, name: str, handle: int, seconds: int) -> bool:
        machine.send(handle, signal.SIGTERM)
        return machine.wait(handle, seconds)

    def after_stop(self, name: str) -> None:
        drop_cgroup(self._cgroup(name))

    def plug(self, node: Node, *, plugged: bool) -> None:
        self.namespace.plug(f"/proc/{self._init_of(node.name)}/ns/net", plugged=plugged)

    def way_around(self, node: Node) -> Endpoint:
        return inside(f"/proc/{self._init_of(node.name)}/ns/net")

    def _init_of(self, name: str) -> int:
        pid = self.running([name]).get(name)
        init = None if pid is None else _init(pid)
        if init is None:
            raise ComposeError("it does not run", node=name)
        return init

    def _cgroup(self, name: str) -> str:
        return f"compose-{self.marker(name)}"


def _init(pid: int) -> int | None:
    """The child of a container's process that runs another program: the image's init."""
    try:
        own = os.readlink(f"/proc/{pid}/exe")
        return next((child for child in machine.children(pid) if os.readlink(f"/proc/{child}/exe") != own), None)
    except (FileNotFoundError, ProcessLookupError):
        return None


def _escape(path: str) -> str:
    """A path in an option of systemd-nspawn whose parts are separated by colons."""
    return path.replace("\\", "\\\\").replace(":", "\\:")


def _has_machine_id() -> bool:
    """Whether the addresses of network interfaces can be made of it, as systemd-nspawn does."""
    try:
        with open(MACHINE_ID, encoding="ascii") as stream:
            return len(stream.read().strip()) == 32
    except OSError:
        return False
