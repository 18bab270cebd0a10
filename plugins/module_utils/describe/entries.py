# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of roles and nodes in a deployment file. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..errors import InputError, nearest, shown
from ..model.free import Options, Parameters
from . import values
from .options import PlatformFacts, validate_options
from .values import Unchecked

#: What says which nodes a role has, rather than what holds for them.
WHICH = ("count", "names", "hosts")
ROLE_KEYS = (*WHICH, "take_over", "variables", "parameters", "secrets", "options")
NODE_KEYS = ("address", "variables", "parameters", "secrets", "options")


@dataclass(frozen=True)
class Settings:
    """What can be set for a whole deployment, a role and a node; the narrower one wins."""

    variables: Unchecked
    parameters: Parameters
    secrets: t.Mapping[str, str]
    options: Options

    @classmethod
    def read(cls, entry: Unchecked, platform: type[PlatformFacts], where: str) -> Settings:
        """Those of an entry."""
        options = values.mapping(entry.get("options"), f"{where}.options")
        return cls(
            values.variables(entry.get("variables"), f"{where}.variables"),
            values.parameters(entry.get("parameters"), f"{where}.parameters"),
            values.secrets(entry.get("secrets"), f"{where}.secrets"),
            validate_options(platform, options, f"{where}.options", "platform"),
        )

    def over(self, wider: Settings) -> Settings:
        """These, where they say something."""
        return Settings(
            {**wider.variables, **self.variables},
            {**wider.parameters, **self.parameters},
            {**wider.secrets, **self.secrets},
            {**wider.options, **self.options},
        )

    def on(self, known: Options, wider: Settings) -> Settings:
        """The same, on a machine that says options of its own: these stand between both."""
        return self.over(Settings({}, {}, {}, known).over(wider))


@dataclass(frozen=True)
class RoleEntry:
    """Which nodes a role has: a count, or the first ``count`` of names or of existing hosts."""

    count: int | None
    names: t.Sequence[str] | None
    #: Names of hosts and groups.
    hosts: t.Sequence[str] | None
    #: Nodes on existing hosts take the names of these over.
    take_over: bool
    #: What the entry says besides; see :class:`Settings`.
    rest: Unchecked

    @classmethod
    def read(cls, value: object, where: str) -> RoleEntry:
        """In its long form, or only a count or names. :raises InputError: key, value, what was expected."""
        if not isinstance(value, t.Mapping):
            value = {"names" if isinstance(value, (list, tuple)) else "count": value}
        given = values.mapping(value, where)
        values.known(given, ROLE_KEYS, where, "key of a role")
        names, hosts = given.get("names"), given.get("hosts")
        if names is not None and hosts is not None:
            raise InputError(f"{where}: names is {shown(names)}, expected no 'hosts' beside it")
        entry = cls(
            count=values.count(given.get("count"), f"{where}.count"),
            names=None if names is None else values.host_names(names, f"{where}.names"),
            hosts=None if hosts is None else _hosts(hosts, f"{where}.hosts"),
            take_over=values.truth(given.get("take_over", False), f"{where}.take_over"),
            rest={key: value for key, value in given.items() if key not in WHICH},
        )
        if entry.names is not None and entry.count is not None and entry.count > len(entry.names):
            raise InputError(
                f"{where}.count is {entry.count}, expected at most {len(entry.names)}, the number of 'names'"
            )
        if entry.take_over and hosts is None:
            raise InputError(f"{where}: take_over is for a role on existing hosts, expected 'hosts' beside it")
        return entry

    @property
    def says_which(self) -> bool:
        """Whether the nodes follow from the entry, and not from the composition."""
        return any(each is not None for each in (self.count, self.names, self.hosts))


def _hosts(value: object, where: str) -> list[str]:
    words = []
    for word in value if isinstance(value, list) else [value]:
        if not isinstance(word, str):
            raise InputError(f"{where} has {shown(word)}, expected names of hosts or groups")
        words.append(word)
    return words


def require_roles(
    distribution: t.Collection[str], roles: t.Collection[str], entries: Unchecked, where: str, path: str
) -> None:
    """Refuse a distribution that names no role, unless a deployment file says what it may have meant.

    :param distribution: the names in it; where they stand, for the message.
    :param entries: ``roles`` of the deployment file at the path.
    :raises InputError: the first of them, and which roles are to be said instead.
    """
    strangers = sorted(set(distribution) - set(roles))
    # It may have meant each of those that it does not name.
    meant = sorted(set(roles) - set(distribution)) or sorted(roles)
    if strangers and not all(RoleEntry.read(entries.get(role), f"{path}: roles.{role}").says_which for role in meant):
        raise InputError(
            f"{where}: {shown(strangers[0])} is not a role of the composition (it is passed over where 'roles' in "
            f"{path} says which nodes there are of {', '.join(meant)}){nearest(strangers[0], roles)}"
        )
