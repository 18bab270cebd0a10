# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes of compositions, once role_schema.py has found them valid. PRIVATE to the collection.

The names are those that users write. Which of them there may be depends on the builder.
"""

from __future__ import annotations

import typing as t

from ..model.composition import Distribution, Role, RoleMachine, Volume
from ..model.follow import Follow


class _Mounted(t.TypedDict):
    mount: str


class VolumeAttributes(_Mounted, total=False):
    """A data volume, as :class:`Volume`."""

    size: int
    user: str
    group: str
    mode: str


class _Followed(t.TypedDict):
    repository: str
    revision: str


class FollowAttributes(_Followed, total=False):
    """A directory that follows a git repository, as :class:`Follow`."""

    check: str
    reload: str
    every: str
    secret: str


class UserAttributes(t.TypedDict, total=False):
    """A user, as far as numbers are concerned."""

    uid: int
    group: str


class ArchiveAttributes(t.TypedDict):
    """A tarball that is unpacked."""

    version: str
    source: str
    dest: str


class GeneratedAttributes(t.TypedDict, total=False):
    """What becomes of a file that a package generates: one of these."""

    keep: bool
    command: str
    secret: str


class MachineAttributes(t.TypedDict, total=False):
    """As :class:`RoleMachine`."""

    host: str | None
    user: str | None
    port: int | None
    key: str | None


class RoleAttributes(t.TypedDict, total=False):
    """Of a role, those that are read here; an evaluation on the builder's side reads the others."""

    archives: t.Mapping[str, ArchiveAttributes]
    file: str
    follow: t.Mapping[str, FollowAttributes]
    generated: t.Mapping[str, GeneratedAttributes]
    kernel: str | None
    machine: MachineAttributes
    mayFail: t.Sequence[str]
    module: str
    packages: t.Sequence[str]
    ports: t.Sequence[int]
    tags: t.Sequence[str]
    users: t.Mapping[str, UserAttributes]
    variable: str
    volumes: t.Mapping[str, VolumeAttributes]


class DebianAttributes(t.TypedDict, total=False):
    """Of the distribution."""

    suite: str


class ScriptFile(t.TypedDict):
    """A test script in a file beside the composition."""

    file: str


class _WithRoles(t.TypedDict):
    roles: t.Mapping[str, RoleAttributes]


class Attributes(_WithRoles, total=False):
    """Of a composition."""

    debian: DebianAttributes
    rolesDistribution: t.Mapping[str, Distribution]
    testScript: str | ScriptFile


def roles_of(attributes: Attributes) -> dict[str, Role]:
    """The roles, as far as they are known without evaluating systems."""
    return {
        name: Role(
            name=name,
            ports=tuple(role.get("ports", ())),
            may_fail=tuple(role.get("mayFail", ())),
            volumes={key: Volume(**volume) for key, volume in role.get("volumes", {}).items()},
            secret_files={path: made["secret"] for path, made in role.get("generated", {}).items() if "secret" in made},
            follow={path: Follow(**followed) for path, followed in role.get("follow", {}).items()},
            tags=tuple(dict.fromkeys(role.get("tags", ()))),
            machine=RoleMachine(**role.get("machine", {})),
        )
        for name, role in attributes["roles"].items()
    }
