# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes of a deployment whose composition is not known: those of its current release. PRIVATE to the collection."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.immutable.compose.plugins.module_utils.builders.registry import BUILDERS
from ansible_collections.immutable.compose.plugins.module_utils.deploy.release import ReleaseStore
from ansible_collections.immutable.compose.plugins.module_utils.describe import values
from ansible_collections.immutable.compose.plugins.module_utils.describe.deployment import (
    Others,
    Parsed,
    chosen,
    name_of,
    parse,
    state_directory,
)
from ansible_collections.immutable.compose.plugins.module_utils.describe.entries import RoleEntry
from ansible_collections.immutable.compose.plugins.module_utils.describe.names import label_of
from ansible_collections.immutable.compose.plugins.module_utils.describe.values import Unchecked
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Composition, Role
from ansible_collections.immutable.compose.plugins.module_utils.model.release import Located, Release
from ansible_collections.immutable.compose.plugins.module_utils.platforms.registry import PLATFORMS


@dataclass(frozen=True)
class Substitute:
    """What stands in for a composition that is not known."""

    composition: Composition
    parsed: Parsed
    #: Number of the release that the nodes are from; 0: they are those that the deployment file lists.
    release: int


def from_release(
    options: Unchecked, others: Others, path: str, where: str, cause: str, *, evaluated: bool
) -> Substitute | None:
    """The nodes of the current release, with what the deployment file says of them; ``None``: nothing was released.

    :param where: directory of the composition.
    :param cause: why the composition cannot be used.
    :param evaluated: it is there, but does not fit the deployment file. Then the file must fit the release: a mistake
        in it is told from one in the composition by that.
    :raises InputError: the deployment file itself is wrong, or the release cannot be read.
    """
    base = values.text(options.get("state_dir"), f"{path}: state_dir")
    state = state_directory(base, name_of(options, path), path)
    store = ReleaseStore(state)
    try:
        release = store.current()
    except (ComposeError, OSError, ValueError) as error:
        raise InputError(f"{cause}\nThe current release in {state} cannot be read either: {error}") from error
    if release is None:
        return None
    builder = chosen(options["builder"], BUILDERS, path, "builder")[0].name
    composition = _as_composition(release, builder, where)
    own: Unchecked = {**options, "distribution": None}
    if not evaluated:  # what was added to both since the release is unknown to it
        own = _without_roles(own, composition.roles, path)
    parse(own, composition, path, PLATFORMS, BUILDERS, others)
    parsed = parse(_narrowed(own, release, others, path), composition, path, PLATFORMS, BUILDERS, others)
    deployment = replace(store.placed(parsed.deployment), broken=cause)
    return Substitute(composition, replace(parsed, deployment=deployment), release.number)


def from_counts(options: Unchecked, others: Others, path: str, where: str, cause: str) -> Substitute:
    """The nodes that the deployment file names or counts, for a state that lies on another host.

    :raises InputError: it leaves that to the composition; or it is wrong itself.
    """
    roles = values.mapping(options.get("roles"), f"{path}: roles")
    entries = {role: RoleEntry.read(entry, f"{path}: roles.{role}") for role, entry in roles.items()}
    if not roles or not all(entry.says_which for entry in entries.values()):
        raise InputError(
            f"{cause}\nNor do its nodes follow from {path} alone: roles must say the count or the names for each role"
        )
    composition = Composition(
        name=label_of(os.path.basename(where)),
        builder=chosen(options["builder"], BUILDERS, path, "builder")[0].name,
        path=where,
        digest="",
        roles={role: Role(name=role) for role in roles},
    )
    parsed = parse({**options, "distribution": None}, composition, path, PLATFORMS, BUILDERS, others)
    return Substitute(composition, replace(parsed, deployment=replace(parsed.deployment, broken=cause)), 0)


def _as_composition(release: Release, builder: str, where: str) -> Composition:
    """A composition as far as its release tells."""
    nodes = _by_role(release)
    return Composition(
        name=release.composition_name or label_of(os.path.basename(where)),
        builder=builder,
        path=where,
        digest=release.composition,
        roles={role: Role(name=role) for role in sorted({*release.ports, *nodes})},
        distribution={role: nodes.get(role, []) for role in sorted({*release.ports, *nodes})},
    )


def _by_role(release: Release) -> dict[str, list[str]]:
    """Names of the released nodes by role, in the order of their index."""
    found: dict[str, list[str]] = {}
    for name, role in sorted(
        release.nodes.items(),
        key=lambda item: (release.places.get(item[0], Located(0, None)).index, len(item[0]), item),
    ):
        found.setdefault(role, []).append(name)
    return found


def _without_roles(options: Unchecked, known: t.Collection[str], path: str) -> Unchecked:
    """The options without those of roles that are not known."""
    roles = values.mapping(options.get("roles"), f"{path}: roles")
    limits = values.mapping(options.get("at_most"), f"{path}: at_most")
    dropped = roles.keys() - set(known)
    return {
        **options,
        "roles": {name: value for name, value in roles.items() if name not in dropped},
        "at_most": {name: value for name, value in limits.items() if name not in dropped},
    }


def _narrowed(options: Unchecked, release: Release, others: Others, path: str) -> Unchecked:
    """The options with the released nodes in place of those that the deployment file would have now."""
    given = values.mapping(options.get("roles"), f"{path}: roles")
    roles = {}
    for role, names in {**dict.fromkeys(release.ports, ()), **_by_role(release)}.items():
        entry = RoleEntry.read(given.get(role), f"{path}: roles.{role}")
        placed = [name for name in names if name in others.hosts]
        roles[role] = {**entry.rest, **({"names": names} if entry.hosts is None else {"hosts": placed})}
    nodes = {
        name: {key: value for key, value in values.mapping(entry, f"{path}: nodes.{name}").items() if key != "address"}
        for name, entry in values.mapping(options.get("nodes"), f"{path}: nodes").items()
        if name in release.nodes
    }
    at_most: dict[str, object] = {}
    for name, limit in values.mapping(options.get("at_most"), f"{path}: at_most").items():
        if isinstance(limit, t.Mapping):
            left = [node for node in limit["nodes"] if node in release.nodes]
            if left:
                at_most[name] = {**limit, "nodes": left}
        elif name in roles or release.nodes.keys() & set(others.groups[name]):
            at_most[name] = limit
    return {**options, "roles": roles, "nodes": nodes, "at_most": at_most}
