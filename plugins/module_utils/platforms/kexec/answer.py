# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine says of itself, and of its network. PRIVATE to the collection."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass, field

from ...model.answer import WrongAnswer, answer, json_answer
from ...model.document import Interface, Match


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
    #: Bytes of memory: free in its own Linux, all of it while a node runs.
    memory: int
    #: Of a node, those that it has; else those that a node would have.
    interfaces: tuple[Interface, ...] = ()
    node: Running | None = None
    #: Base names of the programs that are needed and there.
    programs: tuple[str, ...] = ()
    #: Whether root has forbidden kexec until the next boot.
    disabled: bool = False
    #: What the kernel does not allow even root: ``none``, ``integrity`` (as with Secure Boot), ``confidentiality``.
    lockdown: str = ""
    #: Identities of images that are in place to be started.
    staged: tuple[str, ...] = ()
    #: All addresses, with prefix length; and those on interfaces that are no devices: bridges, bonds, VLANs.
    addresses: tuple[str, ...] = ()
    virtual: t.Mapping[str, str] = field(default_factory=dict)
    #: Addresses of name servers.
    dns: tuple[str, ...] = ()

    @property
    def runs(self) -> str:
        """In words."""
        return "its own Linux" if self.node is None else self.node.identity

    @classmethod
    def read(cls, output: str) -> Answer:
        """What :data:`.scripts.ASK` printed. :raises WrongAnswer: something else was printed."""
        facts: dict[str, list[str]] = {}
        for line in output.splitlines():
            key, _space, value = line.partition(" ")
            facts.setdefault(key, []).append(value)

        def one(key: str) -> str:
            return facts.get(key, [""])[0]

        boot, architecture = one("boot"), one("architecture")
        memory = answer(int, one("memory") or 0, "memory") << 10
        if "owner" in facts:
            interfaces = tuple(json_answer(list[Interface], one("interfaces") or "[]", "interfaces"))
            node = Running(one("owner"), one("identity"), "confirmed" in facts)
            return cls(boot, architecture, memory, interfaces, node)
        addresses = [(name, rest) for name, _space, rest in _pairs(facts, "address")]
        macs = {name: rest for name, _space, rest in _pairs(facts, "mac")}
        return cls(
            boot,
            architecture,
            memory,
            _interfaces(addresses, macs, one("gateway")),
            programs=tuple(os.path.basename(path) for path in facts.get("program", ())),
            disabled="disabled" in facts,
            lockdown=one("lockdown"),
            staged=tuple(facts.get("staged", ())),
            addresses=tuple(address for _name, address in addresses),
            virtual={address: name for name, address in addresses if name not in macs},
            # A resolver on the machine itself stays there.
            dns=tuple(server for server in facts.get("dns", ()) if not server.startswith("127.")),
        )


def _pairs(facts: t.Mapping[str, t.Sequence[str]], key: str) -> list[tuple[str, str, str]]:
    found = [value.partition(" ") for value in facts.get(key, ())]
    if not all(rest for _name, _space, rest in found):
        raise WrongAnswer(f"{key} of an interface is missing")
    return found


def _interfaces(
    addresses: t.Sequence[tuple[str, str]], macs: t.Mapping[str, str], gateway: str
) -> tuple[Interface, ...]:
    """The first address of each device; the gateway with the device that leads there."""
    leads, _space, router = gateway.partition(" ")
    found: dict[str, Interface] = {}
    for name, address in addresses:
        if name in macs and name not in found:
            found[name] = Interface(Match(mac=macs[name]), address, router if name == leads else None)
    return tuple(found.values())
