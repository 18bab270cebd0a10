# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has which number: allocated once, for all roles of a composition, and never given to another. PRIVATE."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ...errors import InputError
from ...model.numbers import Numbers

#: Of Debian (policy, 9.2.2): what packages take as they are installed, and what people have. All others are fixed.
SYSTEM, PEOPLE = range(100, 1000), range(1000, 60000)

_Taken = dict[str, int]


@dataclass(frozen=True)
class Declared:
    """Users and groups that a role declares."""

    #: User → number that is asked for.
    users: t.Mapping[str, int | None] = field(default_factory=dict)
    #: Groups that are named beside them.
    groups: tuple[str, ...] = ()


def moving(numbers: t.Mapping[str, int]) -> list[str]:
    """Names, sorted, of those whose numbers depend on who was there first."""
    return sorted(name for name, number in numbers.items() if number in SYSTEM or number in PEOPLE)


def allocate(kept: Numbers | None, made: t.Mapping[str, Numbers], declared: t.Mapping[str, Declared]) -> Numbers:
    """Numbers of all that are known. Who has one keeps it, also who is no more; new ones get what is free.

    :param kept: so far.
    :param made: role → what its packages made, with the numbers that were free then.
    :param declared: by role.
    :raises InputError: a number that is asked for is another's; names the role and the user.
    """
    users, groups = (dict(kept.users), dict(kept.groups)) if kept else ({}, {})
    _ask(users, made, declared)
    for role in sorted(made):
        _keep(users, made[role].users, declared[role].users)
        _keep(groups, made[role].groups, {*declared[role].groups, *declared[role].users})
    for role, each in sorted(declared.items()):
        for name in sorted(each.users.keys() - made[role].users.keys()):
            if name not in users:
                both = {*users.values(), *({} if name in groups else groups.values())}
                users[name] = _free(PEOPLE, both)
            if name not in groups:
                _add(groups, name, users[name], PEOPLE)
        for name in sorted(set(each.groups) - groups.keys()):
            groups[name] = _free(PEOPLE, groups.values())
    return Numbers(users, groups)


def _ask(users: _Taken, made: t.Mapping[str, Numbers], declared: t.Mapping[str, Declared]) -> None:
    """Numbers that are asked for come before all others."""
    asked: dict[str, tuple[int, str]] = {}
    for role, each in sorted(declared.items()):
        for name, number in sorted(each.users.items()):
            if number is None:
                continue
            where = f"roles.{role}.users.{name}.uid"
            before, there = asked.setdefault(name, (number, where))
            if before != number:
                raise InputError(f"{where} is {number}, and {there} is {before}: a user has one number in all roles")
            fixed = {
                other for other, its in made[role].users.items() if its == number and other not in moving({other: its})
            }
            others = sorted({*fixed, *(other for other, its in users.items() if its == number)} - {name})
            if others:
                raise InputError(
                    f"{where}: {number} is the number of {others[0]!r}, whose data nobody else may get: choose another"
                )
            users[name] = number


def _keep(taken: _Taken, made: t.Mapping[str, int], declared: t.Container[str]) -> None:
    """What packages made has the number that it took, if nobody else has that."""
    for name in sorted(made):
        number = made[name]
        for range_ in (SYSTEM, PEOPLE):
            if number in range_ and name not in taken:
                _add(taken, name, number, range_)
        if name in declared:
            taken.setdefault(name, number)


def _add(taken: _Taken, name: str, number: int, range_: range) -> None:
    """With that number, or with the next of the range that is free."""
    taken[name] = number if number not in taken.values() else _free(range_, taken.values())


def _free(range_: range, taken: t.Collection[int]) -> int:
    free = next((number for number in range_ if number not in taken), None)
    if free is None:
        raise InputError(f"no number from {range_[0]} to {range_[-1]} is free for another user or group")
    return free
