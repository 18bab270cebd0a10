# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets of nodes, read from the inventory when a step needs them. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible.errors import AnsibleError
from ansible.template import Templar

from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment
from ansible_collections.immutable.compose.plugins.module_utils.model.shape import plain
from ansible_collections.immutable.compose.plugins.plugin_utils.views import Views

try:
    from ansible._internal._datatag._tags import Origin
except ImportError:  # not promised to plugins; messages then name the inventory source alone
    Origin = None  # type: ignore[assignment,misc]

VARIABLE = "compose_secrets"


def with_secrets(deployment: Deployment, hosts: t.Collection[str], hostvars: Views, templar: Templar) -> Deployment:
    """The deployment with the secrets of its nodes, or with the reason why those of a node cannot be read."""
    found: dict[str, t.Mapping[str, str]] = {}
    unreadable: dict[str, str] = {}
    for name in hosts:
        try:
            found[name] = read(name, VARIABLE, hostvars, templar)
        except InputError as error:
            unreadable[name] = error.message
    nodes = tuple(replace(node, secrets=found.get(node.name, {})) for node in deployment.nodes)
    return replace(deployment, nodes=nodes, unreadable=unreadable)


def read(host: str, variable: str, hostvars: Views, templar: Templar) -> t.Any:
    """A variable that is a mapping and may be encrypted, or made of others that are.

    :raises InputError: it cannot be read; says host, key and file, never a value.
    """
    try:
        return plain(hostvars[host].get(variable, {}))
    except AnsibleError as error:
        known = t.cast("dict[str, t.Any]", hostvars.raw_get(host))
        raise InputError(_why(host, variable, known, templar, error)) from None


def _why(host: str, variable: str, known: dict[str, t.Any], templar: Templar, error: AnsibleError) -> str:
    alone = templar.copy_with_new_env(available_variables=known)
    mapping = known.get(variable)
    for key, value in mapping.items() if isinstance(mapping, t.Mapping) else ():
        try:
            alone.template(value)
        except AnsibleError as its_own:
            return f"{_where(value, known)}: {variable}.{key} of {host!r} cannot be read: {its_own}"
    return f"{_where(mapping, known)}: {variable} of {host!r} cannot be read: {error}"


def _where(value: t.Any, variables: t.Mapping[str, t.Any]) -> str:
    origin = None if Origin is None else Origin.get_tag(value)
    if origin is None or origin.path is None:
        return str(variables.get("inventory_file"))
    return f"{origin.path}:{origin.line_num}" if origin.line_num else str(origin.path)
