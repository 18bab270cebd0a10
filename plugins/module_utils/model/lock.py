# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock: the packages of a composition of the builder ``debian``. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .numbers import Numbers


@dataclass(frozen=True)
class LockedPackage:
    """One package, as the archive has it."""

    #: Of the Debian package.
    version: str
    #: As that of the lock, or ``all``.
    architecture: str
    #: ``debian`` or ``debian-security``; ``composition``, if it is a file of the composition's own.
    archive: str
    #: Path in that archive, or in the directory of the composition.
    filename: str
    #: Bytes.
    size: int
    #: Hexadecimal.
    sha256: str
    ignores_unknown: t.ClassVar[bool] = True


@dataclass(frozen=True)
class LockedArchive:
    """A tarball of the composition's own."""

    #: As the composition has it.
    version: str
    #: Path in the directory of the composition.
    filename: str
    #: Bytes.
    size: int
    #: Hexadecimal.
    sha256: str
    ignores_unknown: t.ClassVar[bool] = True


@dataclass(frozen=True)
class Layer:
    """What was asked for, and what it adds to the layers below. The lock fits if it asks for what is asked for now."""

    #: Sorted. ``./…`` is a Debian package of the composition's own.
    requested: list[str]
    #: Sorted.
    packages: list[str]
    #: Of a role with a kernel: what was asked for.
    requested_kernel: t.Optional[str] = None
    #: Of a role with a kernel: the package that this led to.
    kernel: t.Optional[str] = None
    #: Of a role: the users in its image that packages make, sorted.
    users: tuple[str, ...] = ()
    #: Of a role: the groups in its image that packages make, sorted.
    groups: tuple[str, ...] = ()
    #: Of a role: its tarballs, by name.
    archives: t.Mapping[str, LockedArchive] = field(default_factory=dict)
    ignores_unknown: t.ClassVar[bool] = True


@dataclass(frozen=True)
class Lock:
    """Pins what images of ``debian`` are made of."""

    #: Code name of the Debian release.
    suite: str
    #: ``amd64`` or ``arm64``.
    architecture: str
    #: By name.
    packages: t.Mapping[str, LockedPackage]
    #: What does not depend on the composition: ``essential``, ``base``, ``tools``, ``disk-tools``.
    sets: t.Mapping[str, Layer]
    #: By name.
    roles: t.Mapping[str, Layer]
    #: Of users and groups of all roles, now and in former times: none is ever given to another. Null in a lock from
    #: before numbers were kept: then each image has those that were free.
    numbers: t.Optional[Numbers] = None
    schema: t.Literal["immutable.compose/lock/1"] = "immutable.compose/lock/1"
    ignores_unknown: t.ClassVar[bool] = True
