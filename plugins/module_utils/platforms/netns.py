# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of a deployment of containers: a network namespace with a bridge in it. PRIVATE to the collection."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import threading

from ..composition.addresses import gateway
from ..process import run

#: Name of the bridge within the namespace.
BRIDGE = "compose0"

#: Seconds for a command of iproute2.
_TIMEOUT = 20


class Namespace:
    """Network namespace of one deployment; nothing of it is seen outside.

    :param state: state directory of the deployment, which makes the name unique among deployments of one name.
    """

    def __init__(self, deployment: str, state: str) -> None:
        self.name = f"compose-{deployment}-{hashlib.sha256(state.encode()).hexdigest()[:6]}"
        self.path = f"/run/netns/{self.name}"
        self._lock = threading.Lock()

    def enter(self, *command: str) -> list[str]:
        """The command, within the namespace; ``ip netns exec`` would hide the cgroups with a new ``/sys``."""
        return ["nsenter", f"--net={self.path}", *command]

    def exists(self) -> bool:
        """A file without a namespace behind it is what a kill or a reboot may leave."""
        try:
            return os.stat(self.path).st_dev == os.stat("/proc/self/ns/net").st_dev
        except FileNotFoundError:
            return False

    def create(self, network: str) -> None:
        """Namespace and bridge with the gateway's address; what exists already stays."""
        with self._lock:
            if not self.exists():
                self.remove()
                run(["ip", "netns", "add", self.name], timeout=_TIMEOUT)
            address = f"{gateway(network)}/{ipaddress.IPv4Network(network).prefixlen}"
            if run(["ip", "-n", self.name, "link", "show", BRIDGE], timeout=_TIMEOUT, check=False).returncode != 0:
                run(["ip", "-n", self.name, "link", "add", BRIDGE, "type", "bridge"], timeout=_TIMEOUT)
            settings = f"address replace {address} dev {BRIDGE}\nlink set lo up\nlink set {BRIDGE} up\n"
            run(["ip", "-n", self.name, "-batch", "-"], stdin=settings, timeout=_TIMEOUT)

    def remove(self) -> None:
        """Remove the namespace, and the bridge with it."""
        if os.path.exists(self.path):
            run(["ip", "netns", "delete", self.name], timeout=_TIMEOUT)
