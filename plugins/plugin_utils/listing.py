# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a deployment to hosts, groups and variables of Ansible's inventory. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ansible.inventory.data import InventoryData
from ansible.template import trust_as_template

from ansible_collections.immutable.compose.plugins.module_utils.describe.deployment import Parsed
from ansible_collections.immutable.compose.plugins.module_utils.describe.hostvars import to_hostvars
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Composition
from ansible_collections.immutable.compose.plugins.module_utils.platforms.registry import PLATFORMS
from ansible_collections.immutable.compose.plugins.plugin_utils.connections import prepare, reached, sealed


def add(
    inventory: InventoryData,
    group: str,
    parsed: Parsed,
    composition: Composition,
    group_name: t.Callable[[str], str],
) -> None:
    """Add the nodes of a deployment, its groups and their variables.

    :param group: the deployment's.
    :param group_name: what a group can be called.
    """
    deployment = parsed.deployment
    shared, own = to_hostvars(deployment)
    inventory.add_group(group)
    for parent in ("immutable", f"composition_{composition.name}", f"platform_{deployment.platform}"):
        inventory.add_child(inventory.add_group(group_name(parent)), group)
    # Hosts of other sources are in `group` only, and so keep their own way of being reached.
    machines = inventory.add_group(group_name(f"machines_{deployment.name}"))
    inventory.add_child(group, machines)
    for key, value in shared.items():
        inventory.set_variable(group, key, _constant(value))
    prepare()
    seal = {key: _constant(value) for key, value in sealed(parsed.sealed).items()}
    connection = {key: _constant(value) for key, value in reached(deployment.state, parsed.sealed).items()}
    groups = {
        name: [
            inventory.add_group(group_name(group)) for group in (f"role_{name}", *(f"tag_{tag}" for tag in role.tags))
        ]
        for name, role in composition.roles.items()
    }
    for role_group in dict.fromkeys(group for each in groups.values() for group in each):
        inventory.add_child("immutable", role_group)
    lent = PLATFORMS[deployment.platform].machines_of(deployment)
    for node in deployment.nodes:
        placed = parsed.placed.get(node.name)
        inventory.add_host(node.name, group=group if placed else machines)
        for role_group in groups[node.role]:
            inventory.add_child(role_group, node.name)
        host = inventory.hosts[node.name]
        if not placed:
            host.vars.update(connection)
            host.vars["ansible_host"] = _constant(node.name)
        elif placed.by_ssh:
            host.vars.update(seal)
        for key, value in own[node.name].items():
            # Plain data of our own: nothing is left to do for the visitor behind inventory.set_variable.
            host.set_variable(key, _constant(value))
        if node.name in lent:
            host.set_variable("compose_machine", _constant(lent[node.name]))
        for key, value in parsed.variables.get(node.name, {}).items():
            inventory.set_variable(node.name, key, _constant(value))


def _constant(value: t.Any) -> t.Any:
    """Strings that cannot be templates are marked as trusted, to be exported as they are; no other ever is."""
    if isinstance(value, str):
        return value if "{" in value else trust_as_template(value)
    if isinstance(value, dict):
        return {key: _constant(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_constant(item) for item in value]
    return value
