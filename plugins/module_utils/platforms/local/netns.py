# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of a deployment of containers: a network namespace with a bridge in it. PRIVATE to the collection."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import threading
import typing as t
from dataclasses import dataclass

from ...describe.addresses import gateway
from ...model.answer import answer, json_of
from ...model.document import Interface, Match
from ...nodes.endpoint import Endpoint
from ...process import run

#: Name of the bridge within the namespace.
BRIDGE = "compose0"

#: Seconds for a command of iproute2.
_TIMEOUT = 20
#: An entry that goes by itself while all are flushed makes iproute2 give up.
_TRIES = 10


@dataclass(frozen=True)
class _Link:
    """An interface, as iproute2 spells it."""

    ignores_unknown: t.ClassVar[bool] = True

    ifindex: int
    ifname: str
    #: Number of its other end, in that one's namespace.
    link_index: int = 0


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

    def interfaces(self, address: str, network: str) -> tuple[Interface, ...]:
        """``interfaces`` of the document of a node in the namespace."""
        return (Interface(Match(name="host0"), f"{address}/{ipaddress.IPv4Network(network).prefixlen}"),)

    def endpoint(self, address: str) -> Endpoint:
        """How SSH reaches an address within the namespace."""
        return Endpoint(address, proxy_command=" ".join(self.enter("nc", "%h", "%p")))

    def exists(self) -> bool:
        """A file without a namespace behind it is what a kill or a reboot may leave."""
        try:
            return os.stat(self.path).st_dev == os.stat("/proc/self/ns/net").st_dev
        except FileNotFoundError:
            return False

    def there(self) -> list[str]:
        """The namespace in words, if it is there."""
        return [f"network namespace {self.name}"] if os.path.exists(self.path) else []

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
            self._forget_neighbours()

    def _forget_neighbours(self) -> None:
        """An address may be another node's now; what the host remembers would lead to nobody for half a minute."""
        flush = ["ip", "-n", self.name, "neighbour", "flush", "dev", BRIDGE]
        for _try in range(_TRIES - 1):
            if run(flush, timeout=_TIMEOUT, check=False).returncode == 0:
                return
        run(flush, timeout=_TIMEOUT)

    def attach(self, node: str) -> str:
        """Make a namespace for one node, with an interface ``host0`` on the bridge; its path."""
        self.detach(node)
        own, port = self._own(node), _port(node)
        run(["ip", "netns", "add", own], timeout=_TIMEOUT)
        links = f"link add {port} type veth peer name host0 netns {own}\nlink set {port} master {BRIDGE} up\n"
        run(["ip", "-n", self.name, "-batch", "-"], stdin=links, timeout=_TIMEOUT)
        return self.path_of(node)

    def detach(self, node: str) -> None:
        """Remove what :meth:`attach` made, or a part of it."""
        if self.exists():  # the interface would else stay for a moment longer than the namespace
            run(["ip", "-n", self.name, "link", "delete", _port(node)], timeout=_TIMEOUT, check=False)
        if os.path.exists(self.path_of(node)):
            run(["ip", "netns", "delete", self._own(node)], timeout=_TIMEOUT)

    def plug(self, own: str, *, plugged: bool) -> None:
        """Unplug the interface ``host0`` of a container, or plug it in: its other end lies here.

        :param own: path of the container's own namespace.
        """
        its = run(["nsenter", f"--net={own}", "ip", "-json", "link", "show", "dev", "host0"], timeout=_TIMEOUT).stdout
        all_here = run(["ip", "-n", self.name, "-json", "link", "show"], timeout=_TIMEOUT).stdout
        (interface,) = answer(list[_Link], json_of(its, "ip link"), "ip link")
        for link in answer(list[_Link], json_of(all_here, "ip link"), "ip link"):
            if link.ifindex == interface.link_index:
                state = "up" if plugged else "down"
                run(["ip", "-n", self.name, "link", "set", "dev", link.ifname, state], timeout=_TIMEOUT)

    def path_of(self, node: str) -> str:
        """The namespace of one node that :meth:`attach` made."""
        return f"/run/netns/{self._own(node)}"

    def _own(self, node: str) -> str:
        return f"{self.name}-{node}"

    def remove(self) -> None:
        """Remove the namespace, and the bridge with it."""
        if os.path.exists(self.path):
            run(["ip", "netns", "delete", self.name], timeout=_TIMEOUT)


def inside(own: str) -> Endpoint:
    """How SSH reaches a container without its network. :param own: path of its namespace."""
    return Endpoint("127.0.0.1", proxy_command=f"nsenter --net={own} nc %h %p")


def _port(node: str) -> str:
    """Name of a node's interface on the bridge: names of interfaces have 15 characters at most."""
    return f"port-{hashlib.sha256(node.encode()).hexdigest()[:10]}"
