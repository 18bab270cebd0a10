# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a second build has made otherwise, in words. PRIVATE to the collection."""

from __future__ import annotations

import filecmp
import os
import re
import stat
import typing as t

#: Paths that are named; of more, how many there are.
MOST = 20
#: A line of Nix or Guix, and the two outputs, if the second one was kept.
_SAYS = re.compile(r"may not be deterministic(?:: output .(/[^'\"\u2018\u2019`]+). differs from .(\1[.-]check))?")


def listed(paths: t.Sequence[str]) -> str:
    """The first of them."""
    more = f" and {len(paths) - MOST} more" if len(paths) > MOST else ""
    return ", ".join(paths[:MOST]) + more


def told(words: str, file: t.Callable[[str], str] = str) -> str:
    """What Nix or Guix says of outputs that differ, and which paths of these do; empty if it says so of none.

    :param file: where a path of the store lies.
    """
    lines = []
    for line in dict.fromkeys(words.splitlines()):
        says = _SAYS.search(line)
        if says:
            paths = listed(list(_differing(file(says[1]), file(says[2])))) if says[1] else ""
            lines.append(f"{line}: {paths}" if paths else line)
    return "; ".join(lines)


def _differing(one: str, two: str, path: str = "") -> t.Iterator[str]:
    """The paths in which two directories differ, sorted; none for two files."""
    first, second = _entries(one), _entries(two)
    for name in sorted(first.keys() | second.keys()):
        here, modes = f"{path}/{name}", (first.get(name), second.get(name))
        if None not in modes and all(stat.S_ISDIR(mode or 0) for mode in modes):
            yield from _differing(os.path.join(one, name), os.path.join(two, name), here)
        elif modes[0] != modes[1] or not _same(os.path.join(one, name), os.path.join(two, name), modes[0] or 0):
            yield here


def _entries(directory: str) -> dict[str, int]:
    """Name → kind and permissions."""
    if not os.path.isdir(directory):
        return {}
    return {entry.name: entry.stat(follow_symlinks=False).st_mode for entry in os.scandir(directory)}


def _same(one: str, two: str, mode: int) -> bool:
    if stat.S_ISLNK(mode):
        return os.readlink(one) == os.readlink(two)
    return filecmp.cmp(one, two, shallow=False)
