# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of an image, as a running node would list them. PRIVATE to the collection."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from functools import cached_property

from ..model.answer import WrongAnswer
from ..model.image import SYSTEM_LINK, Image
from ..process import run
from .layers import PACKAGES, ROLE

#: Of the squashfs, without the content of files, which comes after this line.
_LIST = 'unsquashfs -no-progress -pf /dev/stdout "$1" | LC_ALL=C sed "/^# START OF DATA/q"'
#: A name, in which blanks and backslashes have a backslash before them; its type; the rest.
_LINE = re.compile(r"((?:\\.|[^\\ ])+) ([A-Z]) (.*)", re.DOTALL)
_TIMEOUT = 300


@dataclass(frozen=True)
class Entry:
    """What is known of a file without reading it."""

    #: As ``%y`` of find(1): ``f``, ``d``, ``l``…
    kind: str
    #: Mode, user and group, as numbers.
    owner: str
    #: Size and time of the last change of a file; where a link leads.
    content: str = ""


#: Stands where overlayfs sees nothing.
_NOTHING = Entry("", "")


@dataclass(frozen=True)
class Listing:
    """All of it."""

    #: By path, without the first slash; the root directory has none.
    entries: t.Mapping[str, Entry]
    #: Lines of ``/etc/passwd``.
    users: t.Sequence[str]

    @cached_property
    def names(self) -> t.Mapping[str, t.Collection[str]]:
        """Directory → what is in it."""
        found: dict[str, list[str]] = {}
        for path in self.entries:
            directory, _slash, name = path.rpartition("/")
            if name:
                found.setdefault(directory, []).append(name)
        return found

    @cached_property
    def newest(self) -> int:
        """The last time at which one of the files was changed, in seconds since 1970."""
        return max((int(each.content.split(" ")[1]) for each in self.entries.values() if each.kind == "f"), default=0)


def can_list(image: Image) -> bool:
    """Whether what runs is the root file system that the bundle has."""
    return image.builder == "debian" and "root" in image.formats


def declares(image: Image) -> bool:
    """Whether its nodes have in their store what they should be."""
    return image.identity_file == SYSTEM_LINK


def list_image(image: Image) -> Listing:
    """The files of an image.

    :raises ComposeError: they cannot be listed.
    """
    path = image.path("root")
    entries: dict[str, Entry] = {}
    for line in run(["sh", "-c", _LIST, "list", path], timeout=_TIMEOUT).stdout.split("\n"):
        match = _LINE.fullmatch(line)
        if match and not line.startswith("#"):
            name = re.sub(r"\\(.)", r"\1", match[1])
            entries[name.strip("/")] = _entry(match[2], match[3].split(" ", 4), entries)
    passwd = "etc/passwd"
    if all(entries.get(layer, _NOTHING).kind == "d" for layer in (ROLE, PACKAGES)):
        passwd = f"{ROLE if f'{ROLE}/{passwd}' in entries else PACKAGES}/{passwd}"
        entries = _joined(entries)
    users = run(["unsquashfs", "-cat", path, passwd], timeout=_TIMEOUT).stdout
    return Listing({path: entry for path, entry in entries.items() if entry != _NOTHING}, users.splitlines())


def _joined(entries: t.Mapping[str, Entry]) -> dict[str, Entry]:
    """Of two directories that are laid over each other: see :mod:`.layers`."""
    upper = {path[len(ROLE) + 1 :]: entry for path, entry in entries.items() if f"{path}/".startswith(f"{ROLE}/")}
    found = dict(upper)
    for path, entry in entries.items():
        if f"{path}/".startswith(f"{PACKAGES}/"):
            path = path[len(PACKAGES) + 1 :]
            if path not in upper and not _hidden(path, upper):
                found[path] = entry
    return found


def _hidden(path: str, upper: t.Mapping[str, Entry]) -> bool:
    """Whether something of the upper one that is no directory lies over a directory that has it."""
    while "/" in path:
        path = path.rpartition("/")[0]
        if path in upper:
            return upper[path].kind != "d"
    return False


def _entry(kind: str, words: t.Sequence[str], known: t.Mapping[str, Entry]) -> Entry:
    if kind == "L":  # another name of a file
        name = re.sub(r"\\(.)", r"\1", " ".join(words))
        if name not in known:
            raise WrongAnswer(f"unsquashfs lists {name[:60]!r} as another name of what it does not list")
        return known[name]
    if kind == "C" and words[4:] == ["0 0"]:
        return _NOTHING
    time, *owner = words[:4]
    rest = words[4] if len(words) > 4 else ""
    if kind == "S":
        return Entry("l", " ".join(owner), rest)
    if kind == "R":
        return Entry("f", " ".join(owner), f"{rest.split(' ')[0]} {time}")
    if kind == "I":
        return Entry("p" if rest.startswith("f") else "s", " ".join(owner))
    return Entry(kind.lower(), " ".join(owner))
