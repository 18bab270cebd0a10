# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of systemd units, and patterns for them. PRIVATE to the collection."""

from __future__ import annotations

import re
import typing as t
from fnmatch import fnmatchcase

from ..errors import InputError, shown

#: What a pattern for units may consist of.
PATTERN = r"[\w@:.\\*?!\[\]-]+"
_SUFFIX = re.compile(r"\.(?:service|socket|timer|path|mount|automount|target|slice|swap|device|scope)$")
_GLOB = re.compile(r"[*?\[]")


def matches(unit: str, patterns: t.Iterable[str]) -> bool:
    """Whether a unit is among those meant: as systemd reads names (``x`` is ``x.service``) and patterns (``x*``)."""
    return any(
        fnmatchcase(unit, pattern)
        or (not _GLOB.search(pattern) and not _SUFFIX.search(pattern) and unit == f"{pattern}.service")
        for pattern in patterns
    )


def unit_patterns(value: object, where: str) -> tuple[str, ...]:
    """A list of units, as a file gives it. :raises InputError: something else."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise InputError(f"{where} is {shown(value)}, expected a list of units")
    for entry in value:
        if not isinstance(entry, str) or not re.fullmatch(PATTERN, entry):
            raise InputError(f"{where} has {shown(entry)}, expected names of units such as backup.service or backup-*")
    return tuple(value)
