# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role distributions and deployment files of NixOS Compose, as part of a deployment file. PRIVATE to the collection."""

from __future__ import annotations

import ipaddress
import os
import re
import typing as t

import yaml

from ansible_collections.immutable.compose.plugins.module_utils.describe import values
from ansible_collections.immutable.compose.plugins.module_utils.describe.entries import RoleEntry, require_roles
from ansible_collections.immutable.compose.plugins.module_utils.describe.values import Unchecked
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError, shown
from ansible_collections.immutable.compose.plugins.module_utils.files import json_of
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Distribution


class _Loader(yaml.SafeLoader):
    """Knows NXC's tag, and refuses a key that is given twice, of which YAML would drop the first."""


class _DefaultRole(int):
    """``!DefaultRole N``: the role of machines that are left over, N at least."""


def _default_role(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> _DefaultRole:
    text = str(loader.construct_scalar(node))
    try:
        return _DefaultRole(text or 0)
    except ValueError:
        raise yaml.constructor.ConstructorError(None, None, f"!DefaultRole {shown(text)}", node.start_mark) from None


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[t.Any, t.Any]:
    keys = [loader.construct_object(key) for key, _value in node.value]
    twice = [key for key in keys if keys.count(key) > 1]
    if twice:
        raise yaml.constructor.ConstructorError(None, None, f"the key {twice[0]!r} is there twice", node.start_mark)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("!DefaultRole", _default_role)
_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def with_distribution(options: Unchecked, roles: t.Collection[str], path: str) -> Unchecked:
    """The options of a deployment file, with what its ``distribution`` says in ``roles`` and ``nodes``.

    What these say themselves wins: a role with nodes of its own, a node with an address.

    :param roles: of the composition.
    :param path: of the deployment file, to which that of the distribution is relative.
    :raises InputError: cannot be read, names no role (see :func:`require_roles`), or a form that NXC does not have.
    """
    given = values.text(options.get("distribution"), f"{path}: distribution")
    if not given:
        return options
    file = os.path.join(os.path.dirname(path), os.path.expanduser(given))
    data = _read(file)
    distribution: t.Mapping[str, Distribution]
    addresses: t.Mapping[str, str] = {}
    if "deployment" in data and isinstance(data["deployment"], t.Mapping):
        distribution, addresses = _from_deployment(data["deployment"], f"{file}: deployment")
    else:
        distribution = {role: _names(role, value, f"{file}: {role}") for role, value in data.items()}
    own = values.mapping(options.get("roles"), f"{path}: roles")
    require_roles(distribution, roles, own, file, path)
    merged = dict(own)
    for role in (name for name in distribution if name in roles):
        nodes = distribution[role]
        entry = own.get(role)
        if entry is None:
            merged[role] = nodes
        elif isinstance(entry, t.Mapping) and not RoleEntry.read(entry, f"{path}: roles.{role}").says_which:
            merged[role] = {**entry, "names" if isinstance(nodes, list) else "count": nodes}
    found = values.mapping(options.get("nodes"), f"{path}: nodes")
    named = _all_names(merged, path)
    for name, address in addresses.items():
        if name in named:
            found[name] = {"address": address, **values.mapping(found.get(name), f"{path}: nodes.{name}")}
    return {**options, "roles": merged, "nodes": found}


def _read(file: str) -> Unchecked:
    try:
        with open(file, encoding="utf-8") as stream:
            data = json_of(stream.read()) if file.endswith(".json") else yaml.load(stream, _Loader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{file}: cannot be read: {error}") from None
    if data is not None and not isinstance(data, t.Mapping):
        raise InputError(f"{file} is {shown(data)}, expected a mapping of roles, or a deployment file of NixOS Compose")
    return values.mapping(data, file)


def _names(role: str, value: object, where: str) -> Distribution:
    """A role's nodes: how many, or their names."""
    if isinstance(value, _DefaultRole):
        return [role] if value == 1 else int(value)
    if isinstance(value, str) and not re.fullmatch("[0-9]+", value):
        return values.labels_of([name.strip() for name in value.split(",")], where)
    return values.distribution(value, where)


def _from_deployment(entries: Unchecked, where: str) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Names by role, and addresses by name, of a deployment file: keys are addresses, or names for docker."""
    names: dict[str, list[str]] = {}
    addresses: dict[str, str] = {}
    for key, entry in entries.items():
        entry = values.mapping(entry, f"{where}.{key}")
        role = entry.get("role")
        if not isinstance(role, str):
            raise InputError(f"{where}.{key}: role is {role!r}, expected the name of a role")
        (name,) = values.labels_of([entry.get("host", key)], f"{where}.{key}")
        names.setdefault(role, []).append(name)
        try:
            addresses[name] = str(ipaddress.IPv4Address(key))
        except ValueError:
            continue  # docker
    return names, addresses


def _all_names(roles: Unchecked, path: str) -> set[str]:
    entries = (RoleEntry.read(entry, f"{path}: roles.{role}") for role, entry in roles.items())
    return {name for entry in entries for name in entry.names or ()}
