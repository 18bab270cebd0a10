# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments as inventory variables: to these, and back from them. PRIVATE to the collection.

The names of the variables are documented in docs/inventory.md.
"""

from __future__ import annotations

import typing as t

from ..errors import InputError
from ..model.codec import decode, encode
from ..model.deployment import Deployment, Limit, Node, Reservation
from . import values
from .members import from_members, to_members

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
)
#: The same, left out where there is none.
_IF_ANY = ("domain", "broken")
_NONE = object()


def to_hostvars(deployment: Deployment) -> tuple[dict[str, t.Any], dict[str, dict[str, t.Any]]]:
    """Inventory variables: those that all nodes share, and those of each node by name."""
    shared: dict[str, t.Any] = {
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
    for key in _IF_ANY:
        if getattr(deployment, key):
            shared[f"compose_{key}"] = getattr(deployment, key)
    own: dict[str, dict[str, t.Any]] = {}
    for node in deployment.nodes:
        own[node.name] = {"compose_role": node.role, "compose_index": node.index, "compose_address": node.address}
        if node.address_given:
            own[node.name]["compose_address_given"] = True
        extra = {key: value for key, value in node.parameters.items() if deployment.parameters.get(key, _NONE) != value}
        for key, value in (("node_parameters", extra), ("secrets", node.secrets), ("options", node.options)):
            if value:
                own[node.name][f"compose_{key}"] = dict(value)
    return shared, own


def from_hostvars(name: str, hostvars: t.Mapping[str, t.Mapping[str, t.Any]]) -> Deployment:
    """The deployment of that name, from the variables of hosts (those of other deployments are passed over).

    Its nodes are all members; those whose hosts are not given have no parameters. Secrets are read where they are
    needed, see plugin_utils/secrets.py.

    :raises InputError: no host belongs to it, or one lacks a variable that the inventory plugin sets.
    """
    given = {host: held for host, held in hostvars.items() if held.get("compose_deployment") == name}
    if not given:
        raise InputError(f"no host of the inventory belongs to the deployment {name!r}")
    first, shared = next(iter(given.items()))

    def of(host: str, held: t.Mapping[str, t.Any], key: str) -> t.Any:
        try:
            return values.plain(held[f"compose_{key}"])
        except KeyError:
            raise InputError(
                f"host {host!r} lacks the variable 'compose_{key}', expected hosts from a *.compose.yml file"
            ) from None

    members = {node.name: node for node in from_members(of(first, shared, "members"))}
    strangers = sorted(set(given) - set(members))
    if strangers:
        raise InputError(
            f"host {strangers[0]!r} has the variables of deployment {name!r}, whose deployment file names no such node"
        )
    parameters = of(first, shared, "parameters")
    nodes = [
        Node(
            name=host,
            role=of(host, given[host], "role"),
            index=of(host, given[host], "index"),
            address=of(host, given[host], "address"),
            address_given=bool(given[host].get("compose_address_given", False)),
            parameters={**parameters, **values.plain(given[host].get("compose_node_parameters", {}))},
            options=values.plain(given[host].get("compose_options", {})),
        )
        if host in given
        else member
        for host, member in members.items()
    ]
    return Deployment(
        name=name,
        nodes=tuple(sorted(nodes, key=lambda node: (node.role, node.index))),
        setup=of(first, shared, "setup"),
        builder_options=of(first, shared, "builder_options"),
        revision=values.plain(shared.get("compose_revision", "")),
        parameters=parameters,
        authorized_keys=tuple(of(first, shared, "authorized_keys")),
        adopt_data=tuple(of(first, shared, "adopt_data")),
        may_fail=tuple(of(first, shared, "may_fail")),
        at_least=of(first, shared, "at_least"),
        reservation=_reservation(shared),
        at_most={
            name_: Limit(tuple(limit["nodes"]), limit["count"]) for name_, limit in of(first, shared, "at_most").items()
        },
        **{key: of(first, shared, key) for key in _SHARED},
        **{key: values.plain(shared.get(f"compose_{key}", "")) for key in _IF_ANY},
    )


def _reservation(shared: t.Mapping[str, t.Any]) -> Reservation | None:
    given = values.plain(shared.get("compose_reservation"))
    return None if given is None else decode(Reservation, given, "compose_reservation")
