# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sweep: which parameters it has, and which combinations of their values. PRIVATE to the collection."""

from __future__ import annotations

import keyword
import math
import typing as t

from ..checks.script import SYMBOLS
from ..errors import InputError, shown
from ..libraries import missing_library
from ..model.free import Json, Parameters
from .table import COLUMNS

#: How many trials an experiment may have; a year of trials of a minute each is half of it.
MOST = 1_000_000


def checked(sweep: Parameters, where: str) -> list[str]:
    """The parameters of a sweep, in order, with those that are swept for one value of another only.

    :param where: file and key, for messages.
    :raises InputError: it is no sweep, or means more than :data:`MOST` combinations.
    """
    if not sweep:
        raise InputError(f"{where} is empty, expected parameters, each with its values")
    names = _names(sweep, where)
    number = _number(sweep)
    if number > MOST:
        raise InputError(f"{where} means {shown(number)} combinations; at most {MOST}")
    return names


def combinations(sweep: Parameters) -> list[Parameters]:
    """All combinations, of a sweep that was checked. :raises InputError: execo is not installed."""
    try:
        from execo_engine.sweep import sweep as combine
    except ImportError:
        raise missing_library("execo_engine", what="an experiment") from None
    return [dict(combination) for combination in combine(sweep)]


def _names(sweep: Parameters, where: str) -> list[str]:
    found: list[str] = []
    for name, levels in sweep.items():
        at = f"{where}.{name}"
        _check_name(name, at)
        if not isinstance(levels, (list, tuple, t.Mapping)) or not levels:
            raise InputError(f"{at} is {shown(levels)}, expected a list of values")
        for level in levels:
            _check_level(level, at)
        below: list[str] = []
        if isinstance(levels, t.Mapping):
            for level, more in levels.items():
                if not isinstance(more, t.Mapping):
                    raise InputError(f"{at}.{level} is {shown(more)}, expected parameters that only {level} has")
                below += [each for each in _names(more, f"{at}.{level}") if each not in below]
        elif len(set(map(repr, levels))) < len(levels):
            raise InputError(f"{at} has a value twice")
        for each in (name, *below):
            if each in found or (each == name and name in below):
                raise InputError(f"{at}: a combination would have two values for {each!r}; expected another name")
        found += [name, *below]
    return found


def _check_name(name: str, at: str) -> None:
    if name in COLUMNS:
        raise InputError(f"{at}: {name!r} is a column of the table; expected another name")
    if not (name.isidentifier() and name.isascii()) or keyword.iskeyword(name) or name in SYMBOLS:
        raise InputError(
            f"{at}: {shown(name)} cannot be the name of a variable of the script; expected another name, of letters, "
            "digits and underscores"
        )


def _check_level(level: Json, at: str) -> None:
    if isinstance(level, float) and not math.isfinite(level):
        raise InputError(f"{at} has the value {level}, expected finite numbers")
    if not isinstance(level, (bool, int, float, str)):
        raise InputError(f"{at} has the value {shown(level)}, expected numbers, strings, true or false")
    if isinstance(level, str) and any("\ud800" <= character <= "\udfff" for character in level):
        raise InputError(f"{at} has the value {ascii(level)}, which is half a character")


def _number(sweep: Parameters) -> int:
    """How many combinations there are."""
    return math.prod(
        sum(_number(t.cast(Parameters, more)) for more in levels.values())
        if isinstance(levels, t.Mapping)
        else len(t.cast("t.Sequence[Json]", levels))
        for levels in sweep.values()
    )
