# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is a member of a deployment, as data that every host of it carries. PRIVATE to the collection.

An inventory may reach a job without some of its hosts: switched off in a controller, sliced, filtered. Who is a member
follows from the deployment file alone, so the file's answer travels with the variables that all hosts share. Nodes of
one role whose names and addresses count on are one entry (``web[1:1000]``), because every host shows these variables.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass, replace

from ..errors import InputError
from ..model.codec import decode
from ..model.deployment import Node
from ..model.free import Options
from .values import MOST

_COUNTED = re.compile(r"(?P<stem>.*?)(?P<number>0|[1-9][0-9]*)(?P<rest>[^0-9]*)")
_RANGE = re.compile(r"(?P<stem>.*)\[(?P<first>[0-9]{1,9}):(?P<last>[0-9]{1,9})\](?P<rest>.*)")


@dataclass(frozen=True)
class _Entry:
    """Nodes that count on from the first."""

    #: One name, or a range of names.
    nodes: str
    role: str
    #: Of the first one, as the address.
    index: int
    address: str | None
    options: Options
    address_given: bool = False


def to_members(nodes: t.Iterable[Node]) -> list[dict[str, object]]:
    """What :func:`from_members` reads: name, role, index, address and platform options of nodes, in runs."""
    runs: list[tuple[Node, Node]] = []
    for node in nodes:
        if runs and _follows(runs[-1][1], node):
            runs[-1] = (runs[-1][0], node)
        else:
            runs.append((node, node))
    return [_entry(first, last) for first, last in runs]


def from_members(entries: object) -> list[Node]:
    """The nodes, without what only their own hosts know: parameters and secrets.

    :raises InputError: no list that :func:`to_members` has made.
    """
    nodes = []
    for entry in decode(list[_Entry], entries, "compose_members"):
        first = Node(
            name=entry.nodes,
            role=entry.role,
            index=entry.index,
            address=entry.address,
            address_given=entry.address_given,
            options=entry.options,
        )
        match = _RANGE.fullmatch(entry.nodes)
        if match is None:
            nodes.append(first)
            continue
        start, end = int(match["first"]), int(match["last"])
        if len(nodes) + end - start >= MOST:
            raise InputError(f"compose_members: {entry.nodes} are more than {MOST} nodes")
        try:
            nodes += [
                _later(first, f"{match['stem']}{start + step}{match['rest']}", step) for step in range(end - start + 1)
            ]
        except ValueError as error:
            raise InputError(f"compose_members: address of {entry.nodes}: {error}") from None
    return nodes


def _entry(first: Node, last: Node) -> dict[str, object]:
    name = first.name
    if first is not last:
        begin, end = _counted(first.name), _counted(last.name)
        name = f"{begin['stem']}[{begin['number']}:{end['number']}]{begin['rest']}"
    given = {"address_given": True} if first.address_given else {}
    return {
        "nodes": name,
        "role": first.role,
        "index": first.index,
        "address": first.address,
        "options": dict(first.options),
        **given,
    }


def _follows(before: Node, node: Node) -> bool:
    """Whether a node is what counting on from the one before gives."""
    match = _COUNTED.fullmatch(before.name)
    if match is None or before.address is None:
        return False
    name = f"{match['stem']}{int(match['number']) + 1}{match['rest']}"
    return node == replace(_later(before, name, 1), parameters=node.parameters, secrets=node.secrets)


def _later(node: Node, name: str, steps: int) -> Node:
    address = None if node.address is None else str(ipaddress.IPv4Address(node.address) + steps)
    return replace(node, name=name, index=node.index + steps, address=address)


def _counted(name: str) -> re.Match[str]:
    return t.cast("re.Match[str]", _COUNTED.fullmatch(name))
