# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on the root file system of a node, in one round trip. PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..images.listing import Entry
from ..model.image import IDENTITY_FILE
from .output import Output

#: Written when a node boots, and never again.
BOOTED = "/run/compose/ssh/host_key"

# Records end with NUL, for names of files may have all else. The root file system only: what is mounted below it is
# memory, or data. Of a file also the time at which anything about it was changed, which nobody can set. Starting
# programs is most of what this costs a node, so find is the only one.
_FIRST = r"""
shopt -s dotglob nullglob
declare -A mounted
while read -r _ _ _ _ place _; do mounted[$place]=1; printf 'P%s\0' "$place"; done </proc/self/mountinfo
while IFS= read -r line; do printf 'N%s\0' "$line"; done </etc/passwd
for unit in /run/systemd/system/*; do
  if [ -L "$unit" ] && [ "$unit" -ef /dev/null ]; then printf 'M%s\0' "${unit##*/}"; fi
done
look() {
  find "$@" \( -path {booted} -printf 'B\0' \
    -o -type d -printf 'F%P\td\t%m %U %G\t\0' -o -type l -printf 'F%P\tl\t%m %U %G\t%l\0' \
    -o -type f -printf 'F%P\tf\t%m %U %G\t%s %T@ %C@\0' -o -printf 'F%P\t%y\t%m %U %G\t\0' \) 2>/dev/null
}
"""
_ALL = "look / -xdev"
# Of directories also what is in them: what is missing is not later than anything.
_LATER = r"""
while IFS= read -r -d '' record; do
  printf '%s\0' "$record"
  case $record in
    F*$'\td\t'*)
      path=${record%$'\td\t'*} path=/${path#F}
      if [ -z "${mounted[$path]}" ] || [ "$path" = / ]; then
        for name in "${path%/}"/*; do printf 'C%s\0' "${name#/}"; done
      fi ;;
  esac
done < <(look / {booted} -xdev \( -newerct @{newest} -o -path {identity} \))
"""


def look(later_than: int | None = None) -> str:
    """The command that asks a node.

    :param later_than: seconds since 1970: files that are not later are not told, see :attr:`Sight.partly`.
    """
    script = _FIRST + (_ALL if later_than is None else _LATER)
    for key, value in {"booted": BOOTED, "identity": IDENTITY_FILE, "newest": str(later_than)}.items():
        script = script.replace(f"{{{key}}}", value)
    return script


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
    #: Only files that are later than a time were told. Directory among them → all that is in it.
    partly: dict[str, set[str]] | None = None
    #: All that was changed since the node booted is later than its image: it lies over a squashfs, where a file has one
    #: time, and the node's clock was right when it booted.
    reliable: bool = True


def sight_of(output: Output, later_than: int | None = None) -> Sight:
    """What the node printed.

    :param later_than: as it was asked.
    """
    sight = Sight(partly=None if later_than is None else {})
    lists = {"M": sight.masked, "N": sight.users}
    booted = False
    for record in output.stdout.decode("utf-8", "replace").split("\0"):
        key, rest = record[:1], record[1:]
        if key == "F" and rest.count("\t") >= 3:
            _add(sight, *rest.rsplit("\t", 3))
        elif key == "C" and sight.partly is not None:
            directory, _slash, name = rest.rpartition("/")
            sight.partly.setdefault(directory, set()).add(name)
        elif key == "P":
            sight.mounts.add(rest.strip("/"))
        elif key == "B":
            booted = True
        elif key in lists:
            lists[key].append(rest)
    # On a squashfs both times of a file are the same; where an image was unpacked, they are not.
    identity = IDENTITY_FILE.strip("/")
    sight.reliable = booted and identity in sight.entries and identity not in sight.touched
    if identity in sight.touched:
        sight.touched.clear()
    return sight


def _add(sight: Sight, path: str, kind: str, owner: str, content: str) -> None:
    if kind == "f":
        size, changed, touched = (*content.split(" "), "", "")[:3]
        if touched != changed:
            sight.touched.add(path)
        content = f"{size} {changed.removesuffix('.0000000000')}"
    elif kind == "d" and sight.partly is not None:
        sight.partly[path] = set()
    sight.entries[path] = Entry(kind, owner, content)
