# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of the nodes on the private network of a deployment. PRIVATE to the collection.

Each role of the composition has a block of its own, so that a proposed address depends on the role and the index of its
node only. What nodes that exist really have, whatever roles and names have come and gone, is in :mod:`.held`.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ..errors import InputError, shown


def parse_network(value: object, where: str) -> ipaddress.IPv4Network:
    """An IPv4 network in prefix notation. :raises InputError: it is none."""
    try:
        return ipaddress.IPv4Network(value if isinstance(value, str) else "")
    except ValueError as error:
        why = f" ({error})" if isinstance(value, str) else ""
        raise InputError(f"{where} is {shown(value)}, expected an IPv4 network such as '10.87.0.0/16'{why}") from None


def gateway(network: str) -> str:
    """The address kept for the host that runs the deployment: the last usable one."""
    return str(ipaddress.IPv4Network(network).broadcast_address - 1)


class Addresses:
    """Divides a network in equal blocks, one for each role in alphabetical order.

    A block is the largest multiple of 256 addresses that fits (in networks too small for that: the largest number). The
    node with index 1 has the second address of its block. The last two addresses of each block are never given.
    """

    def __init__(self, network: ipaddress.IPv4Network, roles: t.Iterable[str]) -> None:
        self.network = network
        self._first = int(network.network_address)
        names = sorted(roles)
        block = network.num_addresses // max(1, len(names))
        self._block = block - block % 256 if block >= 256 else block
        self._starts = {name: position * self._block for position, name in enumerate(names)}
        self._taken: dict[str, str] = {}

    def __contains__(self, value: object) -> bool:
        """Whether the value is an address of the network."""
        try:
            return isinstance(value, str) and ipaddress.IPv4Address(value) in self.network
        except ValueError:
            return False

    def proposed(self, role: str, index: int, where: str) -> str:
        """The address that belongs to an index within a role, unless another node has it.

        :raises InputError: the role's block has not so many addresses.
        """
        if index > self._block - 3:
            raise InputError(
                f"{where}: role {role!r} has more nodes than its block of {self.network} has addresses"
                f" ({max(0, self._block - 3)}); expected a larger network"
            )
        number = self._first + self._starts[role] + index
        return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"

    def explicit(self, value: object, node: str, where: str) -> str:
        """An address that the user gave. :raises InputError: outside of the network, reserved, or given twice."""
        expected = f"{where} is {shown(value)}, expected a free address of {self.network}"
        if not isinstance(value, str) or value not in self:
            raise InputError(expected)
        address = ipaddress.IPv4Address(value)
        last = self.network.broadcast_address
        if address in (self.network.network_address, last, last - 1):
            raise InputError(f"{expected}; it is kept for the network, its broadcasts or the gateway")
        return self._take(str(address), node, where)

    def _take(self, address: str, node: str, where: str) -> str:
        owner = self._taken.setdefault(address, node)
        if owner != node:
            raise InputError(f"{where}: the address {address} of node {node!r} is taken by node {shown(owner)}")
        return address
