# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which addresses the nodes that exist have: ``<state>/addresses.json``. PRIVATE to the collection.

What the deployment file leads to (:mod:`.addresses`) is a proposal: it moves when roles or names come and go. A node
that exists keeps the address it has; only an ``address`` in the file moves it.
"""

from __future__ import annotations

import ipaddress
import os
import typing as t
from dataclasses import asdict, dataclass, replace

from ..errors import InputError
from ..files import write_json
from .model import Deployment, Node
from .schema import read_document, reading

ADDRESSES_SCHEMA = "immutable.compose/addresses/1"


@dataclass(frozen=True)
class Held:
    """The address of one node; both are in use until the node is verified, or back."""

    #: With which it was last started.
    address: str
    #: With which it was last verified.
    verified: str | None = None


class HeldAddresses:
    """The ledger of one deployment. Written under the deployment's lock, before a node is started with an address."""

    def __init__(self, path: str, nodes: t.Mapping[str, Held]) -> None:
        self._path = path
        self._nodes = dict(nodes)
        self._written = dict(nodes)

    @classmethod
    def read(cls, state: str) -> HeldAddresses:
        """The ledger in a state directory; empty before the first switch.

        :raises InputError: it is damaged; says what to do.
        """
        path = os.path.join(os.path.realpath(state), "addresses.json")
        try:
            fields = read_document(path, ADDRESSES_SCHEMA)
            with reading(ADDRESSES_SCHEMA, path):
                return cls(path, {name: Held(**held) for name, held in fields["nodes"].items()})
        except FileNotFoundError:
            return cls(path, {})
        except InputError as error:
            raise InputError(
                f"{error.message}. The file says which addresses nodes have: remove it, and nodes whose address is not "
                "in the deployment file are given new ones"
            ) from None

    def names(self) -> list[str]:
        """Nodes that exist."""
        return list(self._nodes)

    # -- which address a node is to have -------------------------------------------------------------------------

    def settle(self, deployment: Deployment) -> Deployment:
        """The deployment with the addresses that its nodes have, or are to have.

        An address in the deployment file wins; then a node keeps what it has; a new one gets what is proposed for it,
        or the next address that nobody has.
        """
        network = ipaddress.IPv4Network(deployment.network)
        settled: dict[str, str] = {node.name: str(node.address) for node in deployment.nodes if node.address_given}
        taken = set(settled.values())
        for node in deployment.nodes:
            kept = self._nodes.get(node.name)
            # Even if another node is given it: then the plan is refused, and no node moves unasked.
            if not node.address_given and kept and _is_usable(kept.address, network):
                settled[node.name] = kept.address
                taken.add(kept.address)
        taken.update(address for held in self._nodes.values() for address in _addresses(held))
        new = [node for node in deployment.nodes if node.name not in settled and node.address is not None]
        for node in new:
            if node.address not in taken:
                settled[node.name] = str(node.address)
                taken.add(settled[node.name])
        free = _Free(network, taken)
        for node in new:
            if node.name not in settled:
                settled[node.name] = free.after(str(node.address), node.name)
        return replace(
            deployment,
            nodes=tuple(replace(node, address=settled.get(node.name, node.address)) for node in deployment.nodes),
        )

    def holders(self, nodes: t.Iterable[Node]) -> dict[str, str]:
        """Node → other node that has, or may still have, the address which it is to be started with."""
        owners: dict[str, list[str]] = {}
        for name, held in self._nodes.items():
            for address in _addresses(held):
                owners.setdefault(address, []).append(name)
        found = {node.name: [name for name in owners.get(str(node.address), ()) if name != node.name] for node in nodes}
        return {name: others[0] for name, others in found.items() if others}

    def require_free(
        self, deployment: Deployment, waves: t.Sequence[t.Sequence[str]], stays: t.Collection[str]
    ) -> None:
        """Refuse to start a node with an address that another has then.

        :param waves: names of the nodes to be started, as they go down together.
        :param stays: nodes that exist and that this run does not retire: what is retired goes before.
        :raises InputError: names both nodes, and the remedy.
        """
        turn = {name: number for number, wave in enumerate(waves) for name in wave}
        meant = {node.name: node.address for node in deployment.nodes}
        for name, holder in sorted(self.holders(node for node in deployment.nodes if node.name in turn).items()):
            address = meant[name]
            if meant.get(holder) == address:
                why = f"{holder!r} keeps it as long as nobody gives it another"
            elif turn.get(holder, 0) > turn[name]:
                why = "at_most keeps the two from being down together"
            elif holder in stays and holder not in turn and self._nodes[holder].address == address:
                why = f"this run neither moves nor retires {holder!r}"
            else:
                continue
            raise InputError(
                f"node {name!r} is to have the address {address} of node {holder!r}, but {why}. Nothing was touched. "
                f"Give {name!r} or {holder!r} another address in the deployment file, or retire {holder!r} first"
            )

    # -- what happens to nodes -----------------------------------------------------------------------------------

    def start(self, nodes: t.Iterable[Node]) -> None:
        """These nodes are going to be started with their addresses."""
        for node in nodes:
            if node.address is not None:
                held = self._nodes.get(node.name)
                self._nodes[node.name] = Held(node.address, held.verified if held else None)
        self._write()

    def commit(self, nodes: t.Iterable[Node]) -> None:
        """These nodes were verified with their addresses."""
        for node in nodes:
            if node.address is not None:
                self._nodes[node.name] = Held(node.address, node.address)
        self._write()

    def revert(self, names: t.Iterable[str]) -> None:
        """These nodes are back at what was verified; what never was keeps its address while it exists."""
        for name in names:
            held = self._nodes.get(name)
            if held is not None and held.verified is not None:
                self._nodes[name] = Held(held.verified, held.verified)
        self._write()

    def forget(self, names: t.Iterable[str]) -> None:
        """These nodes do not exist any more."""
        for name in names:
            self._nodes.pop(name, None)
        self._write()

    def _write(self) -> None:
        if self._nodes != self._written:
            nodes = {name: asdict(held) for name, held in self._nodes.items()}
            write_json(self._path, {"schema": ADDRESSES_SCHEMA, "nodes": nodes})
            self._written = dict(self._nodes)


class _Free:
    """Addresses that nobody has."""

    def __init__(self, network: ipaddress.IPv4Network, taken: set[str]) -> None:
        self._network = network
        self._taken = taken

    def after(self, proposed: str, node: str) -> str:
        """The next free one after a proposal, around the whole network; taken with it."""
        first, size = int(self._network.network_address), self._network.num_addresses
        start = int(ipaddress.IPv4Address(proposed)) - first
        for step in range(1, size):
            address = str(ipaddress.IPv4Address(first + (start + step) % size))
            if address not in self._taken and _is_usable(address, self._network):
                self._taken.add(address)
                return address
        raise InputError(f"node {node!r}: the network {self._network} has no free address; expected a larger network")


def _addresses(held: Held) -> set[str]:
    return {held.address, held.verified or held.address}


def _is_usable(address: str, network: ipaddress.IPv4Network) -> bool:
    """Whether nodes may have the address: the last one but the broadcast address is the gateway's."""
    value, last = ipaddress.IPv4Address(address), network.broadcast_address
    return value in network and value not in (network.network_address, last, last - 1)
