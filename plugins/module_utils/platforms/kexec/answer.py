# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine says of itself, and of its network. PRIVATE to the collection."""

from __future__ import annotations

import json
import os
import typing as t
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Running:
    """A node that was started by kexec."""

    #: ``DEPLOYMENT/NODE``
    owner: str
    #: Of the image.
    identity: str
    #: Whether it stays: its dead man's switch is off.
    confirmed: bool


@dataclass(frozen=True)
class Answer:
    """What runs on a machine: its own Linux, unless :attr:`node` is there."""

    #: Another with each boot.
    boot: str
    #: As ``uname -m`` says it.
    architecture: str
    node: Running | None = None
    #: ``interfaces`` of the node document: of a node, those that it has; else those that a node would have.
    interfaces: list[dict[str, t.Any]] = field(default_factory=list)
    #: Base names of the programs that are needed and there.
    programs: tuple[str, ...] = ()
    #: Whether root has forbidden kexec until the next boot.
    disabled: bool = False
    #: Bytes of memory.
    available: int = 0
    #: Identities of images that are in place to be started.
    staged: tuple[str, ...] = ()
    #: All addresses, with prefix length; and those on interfaces that are no devices: bridges, bonds, VLANs.
    addresses: tuple[str, ...] = ()
    virtual: t.Mapping[str, str] = field(default_factory=dict)

    @property
    def runs(self) -> str:
        """In words."""
        return "its own Linux" if self.node is None else self.node.identity

    @classmethod
    def read(cls, output: str) -> Answer:
        """What :data:`.scripts.ASK` printed."""
        facts: dict[str, list[str]] = {}
        for line in output.splitlines():
            key, _space, value = line.partition(" ")
            facts.setdefault(key, []).append(value)

        def one(key: str) -> str:
            return facts.get(key, [""])[0]

        if "owner" in facts:
            node = Running(one("owner"), one("identity"), "confirmed" in facts)
            return cls(one("boot"), one("architecture"), node, json.loads(one("interfaces") or "[]"))
        addresses = [tuple(value.split(" ", 1)) for value in facts.get("address", ())]
        macs = dict(value.split(" ", 1) for value in facts.get("mac", ()))
        return cls(
            one("boot"),
            one("architecture"),
            interfaces=_interfaces(addresses, macs, one("gateway"), facts.get("dns", [])),
            programs=tuple(os.path.basename(path) for path in facts.get("program", ())),
            disabled="disabled" in facts,
            available=int(one("available") or 0) << 10,
            staged=tuple(facts.get("staged", ())),
            addresses=tuple(address for _name, address in addresses),
            virtual={address: name for name, address in addresses if name not in macs},
        )


def _interfaces(
    addresses: t.Sequence[tuple[str, ...]], macs: t.Mapping[str, str], gateway: str, dns: t.Sequence[str]
) -> list[dict[str, t.Any]]:
    """The first address of each device; gateway and name servers with the device that leads there."""
    found: dict[str, dict[str, t.Any]] = {}
    for name, address in addresses:
        if name in macs and name not in found:
            found[name] = {"match": {"mac": macs[name]}, "address": address}
    leads, _space, router = gateway.partition(" ")
    if leads in found:
        found[leads]["gateway"] = router
    # A resolver on the machine itself stays there.
    servers = [server for server in dns if not server.startswith("127.")]
    if servers and found:
        found.get(leads, next(iter(found.values())))["dns"] = servers
    return list(found.values())
