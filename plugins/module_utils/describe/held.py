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
import re
import socket
import typing as t
from dataclasses import dataclass, replace

from ..errors import InputError, shown
from ..model import codec
from ..model.deployment import Deployment, Node

#: As :mod:`ipaddress` has it, which takes ten times as long: there may be many nodes.
_ADDRESS = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?!$)|$)){4}")


@dataclass(frozen=True)
class Held:
    """The address of one node; both are in use until the node is verified, or back."""

    #: With which it was last started.
    address: str
    #: With which it was last verified.
    verified: str | None = None


@dataclass(frozen=True)
class AddressBook:
    """The file."""

    #: What to do with a damaged one.
    remedy: t.ClassVar[str] = (
        "The file says which addresses nodes have: remove it, and nodes whose address is not in the deployment file "
        "are given new ones"
    )

    nodes: t.Mapping[str, Held]
    schema: t.Literal["immutable.compose/addresses/1"] = "immutable.compose/addresses/1"


class HeldAddresses:
    """The ledger of one deployment. Written under the deployment's lock, before a node is started with an address."""

    def __init__(self, path: str, nodes: t.Mapping[str, Held], *, damaged: bool = False) -> None:
        self._path = path
        self._nodes = dict(nodes)
        #: What the file says, as far as anybody can tell.
        self._written: dict[str, Held] | None = None if damaged else dict(nodes)

    @classmethod
    def read(cls, state: str, *, damaged: bool = False) -> HeldAddresses:
        """The ledger in a state directory; empty before the first switch.

        :param damaged: a damaged one will do, and is as good as empty.
        :raises InputError: it is damaged, or a newer version wrote it; says what to do.
        """
        path = os.path.join(os.path.realpath(state), "addresses.json")
        try:
            return cls(path, _checked(codec.read(AddressBook, path, remedy=AddressBook.remedy), path))
        except FileNotFoundError:
            return cls(path, {})
        except InputError as error:
            if not damaged or isinstance(error, codec.NewerError):
                raise
            return cls(path, {}, damaged=True)

    def names(self) -> list[str]:
        """Nodes that exist."""
        return list(self._nodes)

    def verified(self) -> dict[str, str]:
        """Those of them that were verified, with the address that they had then."""
        return {name: held.verified for name, held in self._nodes.items() if held.verified is not None}

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
                f"node {shown(name)} is to have the address {address} of node {holder!r}, but {why}. Nothing was "
                f"touched. Give {shown(name)} or {holder!r} another address in the deployment file, or retire "
                f"{holder!r} first"
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
        known = [name for name in names if name in self._nodes]
        for name in known:
            del self._nodes[name]
        if known:
            self._write()

    def forget_all(self) -> None:
        """No node exists any more."""
        self._nodes = {}
        self._write()

    def _write(self) -> None:
        if self._nodes != self._written:
            codec.write(self._path, AddressBook(self._nodes))
            self._written = dict(self._nodes)


class _Free:
    """Addresses that nobody has."""

    def __init__(self, network: ipaddress.IPv4Network, taken: set[str]) -> None:
        self._network = network
        self._first, self._size = int(network.network_address), network.num_addresses
        reserved = (0, self._size - 2, self._size - 1)
        self._taken = {_number(address) - self._first for address in taken}.union(reserved)
        #: From an address that is taken to one behind it with nothing free in between.
        self._skip: dict[int, int] = {}

    def after(self, proposed: str, node: str) -> str:
        """The next free one after a proposal, around the whole network; taken with it."""
        place = _number(proposed) - self._first
        passed: list[int] = []
        way = 0
        while place in self._taken:
            if way >= self._size:
                raise InputError(f"node {node!r}: {self._network} has no free address; expected a larger network")
            passed.append(place)
            onward = self._skip.get(place, (place + 1) % self._size)
            way += (onward - place) % self._size
            place = onward
        self._skip.update(dict.fromkeys(passed, place))
        self._taken.add(place)
        return str(ipaddress.IPv4Address(self._first + place))


def _checked(book: AddressBook, path: str) -> t.Mapping[str, Held]:
    for name, held in book.nodes.items():
        for address in _addresses(held):
            if not _ADDRESS.fullmatch(address):
                raise InputError(
                    f"{path}: nodes.{shown(name)} has {shown(address)}, expected an IPv4 address. {book.remedy}"
                )
    return book.nodes


def _addresses(held: Held) -> set[str]:
    return {held.address, held.verified or held.address}


def _is_usable(address: str, network: ipaddress.IPv4Network) -> bool:
    """Whether nodes may have the address: the last one but the broadcast address is the gateway's."""
    return 0 < _number(address) - int(network.network_address) < network.num_addresses - 2


def _number(address: str) -> int:
    """As the type of the standard library has it, which takes ten times as long: there may be many nodes."""
    return int.from_bytes(socket.inet_aton(address), "big")
