# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machine each node has, and where that is found. PRIVATE to the collection."""

from __future__ import annotations

import re
import socket
import typing as t
from concurrent.futures import ThreadPoolExecutor

from ...describe.options import words_of
from ...describe.values import MOST
from ...errors import InputError, nearest, shown
from ...model.deployment import Node
from ...model.result import Problem
from ...nodes.frontend import Frontend
from ..problems import noting

#: Machines whose addresses are looked up at the same time.
_PARALLEL = 32
#: The same on a frontend; seconds for all of them.
_RESOLVES = 'for m; do getent ahostsv4 "$m" | { read -r a rest && echo "$m $a"; } || true; done'
_RESOLVED = 60.0
_WHICH = "'machine' in its options in the deployment file, or 'machines' for all, says which ones there are"
#: Numbers of at most nine digits.
_RANGE = re.compile(r"([^][,]*)\[([0-9]{1,9}(?:[,-][0-9]{1,9})*)\](.*)")


def expanded(word: str) -> list[str]:
    """The machines of a name with ranges: ``sim-[1-3,7]``. :raises InputError: a range is none."""
    match = _RANGE.fullmatch(word)
    if match is None:
        if "[" in word or "]" in word or "," in word:
            raise InputError(f"machines has {shown(word)}, expected ranges such as dahu-[1-4,7]")
        return [word]
    before, ranges, after = match.groups()
    names = []
    for part in ranges.split(","):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not (last.isdigit() and int(first) <= int(last))):
            raise InputError(f"machines has {shown(word)}, expected ranges such as dahu-[1-4,7]")
        numbers = range(int(first), int(last or first) + 1)
        if len(numbers) > MOST:
            raise InputError(f"machines has {shown(word)}, expected at most {MOST} in a range")
        names += [f"{before}{number}{rest}" for number in numbers for rest in expanded(after or "")]
    return names


def bind(nodes: t.Sequence[Node], told: t.Mapping[str, str], lent: t.Sequence[str] = ()) -> dict[str, str]:
    """Node → its machine; nodes for which there is none are left out.

    One that the deployment file names wins; then a node keeps the one it has; then it gets the next that is free.

    :param told: node → machine that it was last told to boot on.
    :param lent: machines of the deployment's reservation: nodes get those that do not say others.
    """
    bound = {node.name: str(node.options["machine"]) for node in nodes if node.options.get("machine")}
    rest = {node.name: offered(node, lent) for node in nodes if node.name not in bound}
    taken = set(bound.values())
    for name, machines in rest.items():
        if told.get(name) in machines and told[name] not in taken:
            bound[name] = told[name]
            taken.add(told[name])
    for name, machines in rest.items():
        free = next((machine for machine in machines if machine not in taken), None)
        if name not in bound and free is not None:
            bound[name] = free
            taken.add(free)
    return bound


def offered(node: Node, lent: t.Sequence[str] = ()) -> list[str]:
    """The machines that a node may have: of its list, else of the reservation."""
    words = words_of(node.options, "machines")
    return [machine for word in words for machine in expanded(word)] or list(lent)


def unbound(nodes: t.Sequence[Node], bound: t.Mapping[str, str]) -> list[Problem]:
    """The nodes without a machine of their own."""
    users: dict[str, list[str]] = {}
    for name, machine in bound.items():
        users.setdefault(machine, []).append(name)
    problems: list[Problem] = []
    for node in nodes:
        with noting(problems, node.name, key="machine", remedy=_WHICH):
            if node.name not in bound:
                there = offered(node)
                many = f"machines has {len(there)} only, and other nodes have them"
                raise InputError(many if there else "it has no machine")
            names = users[bound[node.name]]
            if len(names) > 1:
                shown = " and ".join(map(repr, names))
                raise InputError(f"nodes {shown} have the same machine, {bound[node.name]}")
    return problems


def unknown(nodes: t.Sequence[Node], bound: t.Mapping[str, str], known: t.Collection[str], why: str) -> list[Problem]:
    """The nodes whose machine is none of those that are known."""
    return [
        Problem(f"{why} {bound[node.name]!r}{nearest(bound[node.name], known)}", key="machine", node=node.name)
        for node in nodes
        if bound[node.name] not in known
    ]


def homeless(nodes: t.Sequence[Node], bound: t.Mapping[str, str]) -> list[Problem]:
    """The nodes of whose machine nobody knows the address."""
    return [
        Problem(
            f"node {node.name!r} has no address: the resolver of this host does not know its machine "
            f"{bound[node.name]!r}",
            key="address",
            node=node.name,
            remedy="'address' of the node in the deployment file says it",
        )
        for node in nodes
        if node.address is None
    ]


def cluster_of(machine: str) -> str:
    """The cluster of a machine: its name without its number, as sites name them."""
    return re.sub(r"-?\d+$", "", machine.split(".")[0])


def addresses(machines: t.Collection[str], frontend: Frontend | None = None) -> dict[str, str]:
    """Machine → its IPv4 address; those that nobody knows are left out.

    :param frontend: is asked for what this host's resolver does not know.
    """
    if not machines:
        return {}
    with ThreadPoolExecutor(max_workers=min(_PARALLEL, len(machines))) as pool:
        found = dict(zip(machines, pool.map(_resolve, machines)))
    known = {machine: address for machine, address in found.items() if address}
    rest = [machine for machine in found if machine not in known]
    if frontend is not None and rest:
        lines = frontend.run(["sh", "-c", _RESOLVES, "sh", *rest], _RESOLVED).stdout.splitlines()
        known |= dict(t.cast("tuple[str, str]", tuple(line.split())) for line in lines)
    return known


def _resolve(machine: str) -> str:
    try:
        return str(socket.getaddrinfo(machine, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
    except OSError:
        return ""
