# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on the root file system of a node, in one round trip. PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..images.listing import Entry
from ..model.answer import WrongAnswer
from ..model.image import IDENTITY_FILE
from .output import Output

# Records end with NUL, for names of files may have all else. The root file system only: what is mounted below it is
# memory, or data. Of a file also the time at which anything about it was changed, which nobody can set.
LOOK = r"""
lines() { sed "s/^/$1/" | tr '\n' '\0'; }
find / -xdev \( -type d -printf 'F%P\td\t%m %U %G\t\0' -o -type l -printf 'F%P\tl\t%m %U %G\t%l\0' \
  -o -type f -printf 'F%P\tf\t%m %U %G\t%s %T@ %C@\0' -o -printf 'F%P\t%y\t%m %U %G\t\0' \) 2>/dev/null
find /run/systemd/system -maxdepth 1 -lname /dev/null -printf 'M%f\0' 2>/dev/null
cut -d ' ' -f 5 /proc/self/mountinfo | lines P
lines N </etc/passwd
"""


@dataclass
class Sight:
    """What a node answered."""

    #: By path, without the first slash.
    entries: dict[str, Entry] = field(default_factory=dict)
    #: Files that were changed since the node booted, though their own time does not say so.
    touched: set[str] = field(default_factory=set)
    #: Paths that something is mounted on.
    mounts: set[str] = field(default_factory=set)
    #: Units that are masked until it boots again.
    masked: list[str] = field(default_factory=list)
    #: Lines of ``/etc/passwd``.
    users: list[str] = field(default_factory=list)


def sight_of(output: Output) -> Sight:
    """What the node printed. :raises WrongAnswer: it printed something else."""
    sight = Sight()
    lists = {"M": sight.masked, "N": sight.users}
    for record in output.stdout.decode("utf-8", "replace").split("\0"):
        key, rest = record[:1], record[1:]
        if key == "F":
            _add(sight, rest.rsplit("\t", 3))
        elif key == "P":
            sight.mounts.add(rest.strip("/"))
        elif key in lists:
            lists[key].append(rest)
    # On a squashfs both times of a file are the same; where an image was unpacked, they are not.
    if IDENTITY_FILE.strip("/") in sight.touched:
        sight.touched.clear()
    return sight


def _add(sight: Sight, words: list[str]) -> None:
    if len(words) != 4 or (words[1] == "f" and words[3].count(" ") != 2):
        raise WrongAnswer("wrong answer: the node does not list its files as it was asked to")
    path, kind, owner, content = words
    if kind == "f":
        size, changed, touched = content.split(" ")
        if touched != changed:
            sight.touched.add(path)
        content = f"{size} {changed.removesuffix('.0000000000')}"
    sight.entries[path] = Entry(kind, owner, content)
