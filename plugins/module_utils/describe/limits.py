# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``at_most`` and ``at_least`` of a deployment file: how many nodes may be down, and must be well. PRIVATE."""

from __future__ import annotations

import typing as t

from ..errors import InputError, nearest, shown
from ..model.deployment import Limit, Node
from . import values

KEYS = ("nodes", "count")


def parse_limits(
    value: object,
    nodes: t.Sequence[Node],
    roles: t.Collection[str],
    groups: t.Mapping[str, t.Sequence[str]],
    where: str,
) -> dict[str, Limit]:
    """Limits by name, each with the names of its nodes.

    :param value: name of a role or of a group → count; or any name → a mapping of ``nodes`` and ``count``.
    :param groups: of other inventory sources; of their hosts, those count that are nodes of the deployment.
    :raises InputError: an unknown role, group or node, a group without a node of the deployment, or a count below 1.
    """
    limits = {}
    for name, entry in values.mapping(value, where).items():
        here = f"{where}.{name}"
        if isinstance(entry, t.Mapping):
            values.known(entry, KEYS, here, "key of a limit")
            members = _named(entry.get("nodes"), nodes, f"{here}.nodes")
            limits[name] = Limit(members, values.at_least_one(entry.get("count"), f"{here}.count"))
        else:
            members = _found(name, nodes, roles, groups, where)
            limits[name] = Limit(members, values.at_least_one(entry, here))
    return limits


def parse_quorum(value: object, nodes: t.Sequence[Node], roles: t.Collection[str], where: str) -> dict[str, int]:
    """How many nodes of each role must be verified for the deployment to hold.

    :raises InputError: an unknown role, or more nodes than the role has.
    """
    quorum = {}
    entries = values.mapping(value, where)
    values.known(entries, roles, where, "role of the composition")
    for role, count in entries.items():
        there = sum(node.role == role for node in nodes)
        quorum[role] = values.whole(count, f"{where}.{role}")
        if quorum[role] > there:
            raise InputError(f"{where}.{role} is {count}, but the role has {there} nodes")
    return quorum


def _named(names: object, nodes: t.Sequence[Node], where: str) -> tuple[str, ...]:
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InputError(f"{where} is {shown(names)}, expected a list of nodes")
    values.known(names, [node.name for node in nodes], where, "node of the deployment")
    return tuple(dict.fromkeys(names))


def _found(
    name: str,
    nodes: t.Sequence[Node],
    roles: t.Collection[str],
    groups: t.Mapping[str, t.Sequence[str]],
    where: str,
) -> tuple[str, ...]:
    if name in roles:
        return tuple(node.name for node in nodes if node.role == name)
    if name not in groups:
        near = nearest(name, [*roles, *groups])
        raise InputError(
            f"{where}: {shown(name)} is neither a role of the composition nor a group of the sources read before "
            f"this one{near}"
        )
    hosts = set(groups[name])
    members = tuple(node.name for node in nodes if node.name in hosts)
    if not members:
        raise InputError(f"{where}: no host of the group {shown(name)} is a node of the deployment")
    return members
