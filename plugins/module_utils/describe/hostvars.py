# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments as inventory variables: to these, and back from them. PRIVATE to the collection.

The names of the variables are documented in docs/inventory.md.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ..errors import InputError, shown
from ..model.codec import decode, encode
from ..model.deployment import Deployment, Node
from ..model.free import Parameters
from ..model.hooks import Hooks
from ..model.shape import plain
from .members import from_members, to_members
from .values import Unchecked

#: Fields of a deployment that travel as they are.
_SHARED = (
    "retries",
    "silent",
    "composition",
    "composition_name",
    "builder",
    "platform",
    "network",
    "state",
    "keep",
    "boot_timeout",
    "verify_timeout",
    "stable_for",
)
#: The same, left out where there is none.
_IF_ANY = ("domain", "broken", "trust")
#: Fields that are mappings or lists.
_OF_PARTS = (
    "setup",
    "builder_options",
    "parameters",
    "authorized_keys",
    "adopt_data",
    "may_fail",
    "at_least",
    "at_most",
)
_NONE = object()

T = t.TypeVar("T")


def to_hostvars(deployment: Deployment) -> tuple[dict[str, object], dict[str, dict[str, object]]]:
    """Inventory variables: those that all nodes share, and those of each node by name."""
    shared: dict[str, object] = {
        "compose_deployment": deployment.name,
        "compose_setup": dict(deployment.setup),
        "compose_builder_options": dict(deployment.builder_options),
        "compose_parameters": dict(deployment.parameters),
        "compose_authorized_keys": list(deployment.authorized_keys),
        "compose_members": to_members(deployment.nodes),
        "compose_adopt_data": list(deployment.adopt_data),
        "compose_may_fail": list(deployment.may_fail),
        "compose_at_least": dict(deployment.at_least),
        "compose_at_most": {
            name: {"nodes": list(limit.nodes), "count": limit.count} for name, limit in deployment.at_most.items()
        },
        **{f"compose_{key}": getattr(deployment, key) for key in _SHARED},
    }
    if deployment.reservation is not None:
        shared["compose_reservation"] = encode(deployment.reservation)
    if deployment.fold is not None:
        shared["compose_fold"] = encode(deployment.fold)
    if deployment.hooks != Hooks():
        shared["compose_hooks"] = encode(deployment.hooks)
    for key in _IF_ANY:
        if getattr(deployment, key):
            shared[f"compose_{key}"] = getattr(deployment, key)
    own: dict[str, dict[str, object]] = {}
    for node in deployment.nodes:
        own[node.name] = {"compose_role": node.role, "compose_index": node.index, "compose_address": node.address}
        if node.address_given:
            own[node.name]["compose_address_given"] = True
        extra = {key: value for key, value in node.parameters.items() if deployment.parameters.get(key, _NONE) != value}
        for key, value in (("node_parameters", extra), ("secrets", node.secrets), ("options", node.options)):
            if value:
                own[node.name][f"compose_{key}"] = dict(value)
    return shared, own


def from_hostvars(name: str, hostvars: t.Mapping[str, Unchecked]) -> Deployment:
    """The deployment of that name, from the variables of hosts (those of other deployments are passed over).

    Its nodes are all members; those whose hosts are not given have no parameters. Secrets are read where they are
    needed, see plugin_utils/secrets.py.

    :raises InputError: no host belongs to it, one lacks a variable that the inventory plugin sets, or has another kind
        of value there.
    """
    given = {host: held for host, held in hostvars.items() if held.get("compose_deployment") == name}
    if not given:
        raise InputError(f"no host of the inventory belongs to the deployment {shown(name)}")
    first, shared = next(iter(given.items()))
    members = {node.name: node for node in from_members(_held(first, shared, "members"))}
    strangers = sorted(set(given) - set(members))
    if strangers:
        raise InputError(
            f"host {strangers[0]!r} has the variables of deployment {shown(name)}, whose deployment file names no "
            "such node"
        )
    deployment = _decoded(
        Deployment,
        first,
        shared,
        {key: key for key in (*_SHARED, *_OF_PARTS)},
        {key: key for key in (*_IF_ANY, "revision", "reservation", "fold", "hooks")},
        name=name,
        nodes=[],
    )
    nodes = [
        _node(host, given[host], deployment.parameters) if host in given else member for host, member in members.items()
    ]
    return replace(deployment, nodes=tuple(sorted(nodes, key=lambda node: (node.role, node.index))))


def _node(host: str, held: Unchecked, shared: Parameters) -> Node:
    needed = {key: key for key in ("role", "index", "address")}
    others = {"address_given": "address_given", "parameters": "node_parameters", "options": "options"}
    node = _decoded(Node, host, held, needed, others, name=str(host))
    return replace(node, parameters={**shared, **node.parameters})


def _decoded(
    type_: type[T],
    host: str,
    held: Unchecked,
    needed: t.Mapping[str, str],
    others: t.Mapping[str, str],
    **known: object,
) -> T:
    """An object of the model from the variables of a host.

    :param needed: field → name of the variable, without ``compose_``; ``others``: of those that may be missing.
    """
    data = {**known, **{field: _held(host, held, key) for field, key in needed.items()}}
    data.update({field: _held(host, held, key) for field, key in others.items() if f"compose_{key}" in held})
    return decode(type_, data, f"variables compose_* of host {shown(host)}: {type_.__name__.lower()}")


def _held(host: str, held: Unchecked, key: str) -> object:
    try:
        return plain(held[f"compose_{key}"])
    except RecursionError:
        raise InputError(f"variable 'compose_{key}' of host {shown(host)} is nested too deeply") from None
    except KeyError:
        raise InputError(
            f"host {shown(host)} lacks the variable 'compose_{key}', expected hosts from a *.compose.yml file"
        ) from None
