# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platform ``nspawn``: nodes are containers of systemd-nspawn on this host; needs root. PRIVATE to the collection."""

from __future__ import annotations

import ipaddress
import os
import signal
import typing as t

from ..composition.model import Deployment, Node
from ..errors import ComposeError
from ..images.image import Image
from ..process import need
from ..progress import Progress
from ..ssh.endpoint import Endpoint
from . import machine
from .cgroup import drop_cgroup, own_cgroup
from .local import LocalPlatform, image_files
from .netns import BRIDGE, Namespace
from .records import NodeState, Record
from .roots import Roots


class Nspawn(LocalPlatform):
    """Containers on a bridge of their own, their root a volatile overlay over the image's squashfs."""

    name = "nspawn"
    formats = ("root",)
    boots_kernel = False
    # A container is started by programs that each become the next one.
    programs = ("systemd-nspawn", "nsenter", "sh", "systemd-run")

    def __init__(self, deployment: Deployment, progress: Progress) -> None:
        super().__init__(deployment, progress)
        self.namespace = Namespace(deployment.name, self.state)
        self.roots = Roots(self.state, progress)

    def check(self, nodes: t.Sequence[Node]) -> None:
        if os.geteuid() != 0:
            raise ComposeError("platform 'nspawn' needs root: run the playbook with become, or use platform 'qemu'")
        need("systemd-nspawn", "ip", "nsenter", "nc", "mount", "umount", "unsquashfs")
        super().check(nodes)

    def interfaces(self, node: Node) -> list[dict[str, t.Any]]:
        length = ipaddress.IPv4Network(self.deployment.network).prefixlen
        return [{"match": {"name": "host0"}, "address": f"{node.address}/{length}"}]

    def endpoint(self, node: Node) -> Endpoint:
        proxy = " ".join(self.namespace.enter("nc", "%h", "%p"))
        return Endpoint(str(node.address), proxy_command=proxy)

    def stage(self, images: t.Sequence[Image]) -> bool:
        image_files(images, self.formats)
        done = [self.roots.stage(image) for image in images]
        return any(done)

    def prune(self, keep: t.Collection[str]) -> None:
        used = set(keep)
        for name in NodeState.names(self.state):
            state = self.node_state(name)
            used |= {record.image.identity for record in (state.current(), state.verified()) if record}
        self.roots.drop(used)

    def teardown(self) -> None:
        super().teardown()
        self.roots.drop(set())
        self.namespace.remove()

    def command(self, name: str, record: Record) -> list[str]:
        # Needed again after a reboot of the host, too.
        self.roots.stage(record.image)
        self.namespace.create(self.deployment.network)
        state = self.node_state(name)
        binds = [(state.document_directory, "/run/compose/in")]
        for volume, spec in record.image.volumes.items():
            directory = os.path.join(state.volumes, volume)
            os.makedirs(directory, exist_ok=True)
            binds.append((directory, spec.mount))
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
            *(f"--bind={_escape(source)}:{_escape(target)}" for source, target in binds),
        ]
        return own_cgroup(self._cgroup(name), self.namespace.enter(*nspawn))

    def is_up(self, name: str, pid: int) -> bool:
        """Once there is a child that runs another program, the image's init."""
        try:
            own = os.readlink(f"/proc/{pid}/exe")
            return any(os.readlink(f"/proc/{child}/exe") != own for child in machine.children(pid))
        except (FileNotFoundError, ProcessLookupError):
            return False

    def shut_down(self, name: str, handle: int, seconds: int) -> bool:
        machine.send(handle, signal.SIGTERM)
        return machine.wait(handle, seconds)

    def after_stop(self, name: str) -> None:
        drop_cgroup(self._cgroup(name))

    def _cgroup(self, name: str) -> str:
        return f"compose-{self.marker(name)}"


def _escape(path: str) -> str:
    """A path in an option of systemd-nspawn whose parts are separated by colons."""
    return path.replace("\\", "\\\\").replace(":", "\\:")
