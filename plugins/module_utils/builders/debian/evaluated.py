# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A composition of the builder ``debian`` beside its lock. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from functools import cached_property

from ...describe.attributes import Attributes
from ...errors import InputError
from ...model.lock import Lock
from ...model.numbers import Numbers
from .lock import HOW_TO_LOCK, Locked, Wanted, differences, lock_path
from .numbers import Declared
from .own import COMPOSITION, OwnArchive, OwnFile, locate

DEFAULT_SUITE = "bookworm"

#: Packages of a role with directories that pull what they follow.
PULLS = ("ca-certificates", "git")


def located(composition: str, attributes: Attributes) -> Attributes:
    """The same, with files of the composition's own by their paths from its directory.

    :raises InputError: one is missing, or is not there.
    """
    roles = {}
    for name, role in attributes["roles"].items():
        here = role.copy()
        if "packages" in role:
            where = f"roles.{name}.packages"
            here["packages"] = [locate(composition, each, where) if "/" in each else each for each in role["packages"]]
        if "archives" in role:
            here["archives"] = {
                archive: {**each, "source": locate(composition, each["source"], f"roles.{name}.archives.{archive}")}
                for archive, each in role["archives"].items()
            }
        roles[name] = here
    return {**attributes, "roles": roles}


@dataclass(frozen=True)
class Evaluated:
    """A composition as Nix gave it, found valid."""

    path: str
    name: str
    attributes: Attributes
    #: Role → identity of its image; ``None`` where there is no lock.
    identities: t.Mapping[str, str | None]
    #: Role → store path of its bundle, in the formats that were asked for; empty if none were.
    paths: t.Mapping[str, str | None]
    locked: Locked | None

    @property
    def suite(self) -> str:
        return self.attributes.get("debian", {}).get("suite", DEFAULT_SUITE)

    def wanted(self, role: str) -> Wanted:
        """What it asks of the lock."""
        return self._wanted[role]

    @cached_property
    def _wanted(self) -> t.Mapping[str, Wanted]:
        return {role: self._asked(role) for role in self.attributes["roles"]}

    def _asked(self, role: str) -> Wanted:
        attributes = self.attributes["roles"][role]
        named = attributes.get("packages", ())
        debs = tuple(dict.fromkeys(OwnFile(self.path, name[2:]) for name in named if "/" in name))
        archives = {
            name: OwnArchive(each["version"], OwnFile(self.path, each["source"][2:]))
            for name, each in attributes.get("archives", {}).items()
        }
        packages = dict.fromkeys(name for name in named if "/" not in name)
        for followed in attributes.get("follow", {}).values():
            if followed.get("every"):
                packages.update(dict.fromkeys(PULLS))
        users = attributes.get("users", {})
        groups = sorted({user["group"] for user in users.values() if "group" in user})
        declared = Declared({name: user.get("uid") for name, user in users.items()}, tuple(groups))
        return Wanted(tuple(packages), attributes.get("kernel"), declared, debs, archives)

    def numbers(self, role: str) -> Numbers:
        """Of the users and groups of a role that is locked, as far as numbers are kept."""
        lock = t.cast(Locked, self.locked).lock
        if lock.numbers is None:
            return Numbers()
        layer, declared = lock.roles[role], self.wanted(role).declared
        users, groups = {*layer.users, *declared.users}, {*layer.groups, *declared.users, *declared.groups}
        return Numbers(
            {name: its for name, its in lock.numbers.users.items() if name in users},
            {name: its for name, its in lock.numbers.groups.items() if name in groups},
        )

    def stale(self, role: str) -> list[str]:
        """Why the role cannot be built from the lock."""
        if self.locked is None:
            return [f"{lock_path(self.path)} is missing"]
        return differences(self.locked.lock, self.suite, role, self.wanted(role))

    def check_lock(self, roles: t.Iterable[str]) -> Lock:
        """The lock. :raises InputError: missing, or does not fit one of the roles."""
        if self.locked is None:
            raise InputError(f"{lock_path(self.path)} is missing: {HOW_TO_LOCK}")
        found = {difference: None for role in roles for difference in self.stale(role)}
        if found:
            raise InputError(
                f"{lock_path(self.path)} does not match the composition: {'; '.join(found)}; {HOW_TO_LOCK}"
            )
        return self.locked.lock

    def bundles(self, roles: t.Iterable[str]) -> dict[str, str]:
        """Store paths of the bundles of roles that are locked."""
        return {role: str(self.paths[role]) for role in roles}

    def packages(self, role: str) -> list[str]:
        """All packages in the image of a role that is locked."""
        lock = t.cast(Locked, self.locked).lock
        layers = [lock.sets["essential"], lock.sets["base"], lock.roles[role]]
        kernel = lock.roles[role].kernel
        return sorted([*(name for layer in layers for name in layer.packages), *([kernel] if kernel else [])])

    def versions(self, role: str) -> dict[str, str]:
        """Name → version, of all that is in the image of a role that is locked."""
        lock = t.cast(Locked, self.locked).lock
        return {
            **{name: lock.packages[name].version for name in self.packages(role)},
            **{name: each.version for name, each in lock.roles[role].archives.items()},
        }

    def own(self, role: str) -> dict[str, str]:
        """Name → SHA-256, of what in the image of a role that is locked are files of the composition."""
        lock = t.cast(Locked, self.locked).lock
        debs = {name: lock.packages[name] for name in self.packages(role)}
        return {
            **{name: each.sha256 for name, each in debs.items() if each.archive == COMPOSITION},
            **{name: each.sha256 for name, each in lock.roles[role].archives.items()},
        }

    def size(self, role: str) -> int:
        """Bytes that the image of a role that is locked is made of."""
        lock = t.cast(Locked, self.locked).lock
        archives = lock.roles[role].archives.values()
        return sum(lock.packages[name].size for name in self.packages(role)) + sum(each.size for each in archives)
