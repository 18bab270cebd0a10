# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a node differs from the image that it runs. PRIVATE to the collection."""

from __future__ import annotations

import fnmatch
import re
import typing as t

from ..images.listing import Entry, Listing
from ..model.findings import Changes, UnitChanges
from ..nodes.look import Sight

#: What every node writes, and why that is no drift. Patterns for paths.
WRITTEN: t.Mapping[str, str] = {
    "/etc/hostname": "the node's name, from its document",
    "/etc/hosts": "the names of its peers, from its document",
    "/etc/resolv.conf": "name servers, from the network",
    "/etc/machine-id": "made at each boot",
    "/etc/.updated": "a mark of systemd",
    "/etc/.pwd.lock": "a lock that whoever looks at accounts takes; there is nothing in it",
    "/root/.*_history": "commands of whoever logs in",
    "/tmp/*": "what programs keep for a moment",
    "/nix/var/*": "what Nix knows of its store",
    "/var/*": "what services keep: state, caches, logs. Programs and their configuration are elsewhere",
}
#: Accounts are compared by name: one of them more changes all of these.
_ACCOUNTS = re.compile(r"etc/(?:(?:passwd|group|shadow|gshadow|subuid|subgid)-?|\.pwd\.lock)")
_UNITS = "etc/systemd/system/"
_NULL = "/dev/null"


def files_and_units(
    image: Listing, sight: Sight, ignored: t.Collection[str], users: Changes
) -> tuple[Changes, UnitChanges]:
    """Files that are not as the image has them, without those that only say what is said of units and users.

    :param ignored: patterns for paths, besides :data:`WRITTEN`.
    """
    patterns = re.compile("|".join(fnmatch.translate(pattern) for pattern in (*WRITTEN, *ignored)))
    found: dict[str, tuple[Entry | None, Entry | None]] = {}
    for path, new in _seen(image, sight):
        old = image.entries.get(path)
        if old == new and path not in sight.touched:
            continue
        explained = _mounted(path, sight.mounts) or (users != Changes() and _ACCOUNTS.fullmatch(path))
        if path and not explained and not patterns.match(f"/{path}"):
            found[path] = (old, new)
    units = _units(found, image, sight)
    added = [path for path, (old, new) in found.items() if old is None]
    deleted = [path for path, (old, new) in found.items() if new is None]
    changed = [path for path, (old, new) in found.items() if old is not None and new is not None]
    return Changes(tuple(sorted(f"/{path}" for path in changed)), _topmost(added), _topmost(deleted)), units


def _seen(image: Listing, sight: Sight) -> t.Iterator[tuple[str, Entry | None]]:
    """Paths that may have changed, and what is there now."""
    if sight.partly is None:
        for path in image.entries.keys() | sight.entries.keys():
            yield path, sight.entries.get(path)
        return
    yield from sight.entries.items()
    for directory, left in sight.partly.items():
        for name in image.names.get(directory, ()):
            if name not in left:
                gone = f"{directory}/{name}".lstrip("/")
                for path in (gone, *(path for path in image.entries if path.startswith(f"{gone}/"))):
                    yield path, None


def _mounted(path: str, mounts: t.Container[str]) -> bool:
    """Whether it is, or would be, on a file system that is mounted below the root file system."""
    while path:
        if path in mounts:
            return True
        path = path.rpartition("/")[0]
    return False


def _units(found: dict[str, tuple[Entry | None, Entry | None]], image: Listing, sight: Sight) -> UnitChanges:
    """What links say of units; these are taken out of what was found."""
    masked = [name for name in sight.masked if not _is_null(image.entries.get(f"{_UNITS}{name}"))]
    unmasked, enabled, disabled = list[str](), list[str](), list[str]()
    for path, (old, new) in list(found.items()):
        name = path.rpartition("/")[2]
        if not path.startswith(_UNITS):
            continue
        place = path[len(_UNITS) :]
        wants = place.partition("/")[0].endswith((".wants", ".requires"))
        if "/" not in place and _is_null(new):
            masked.append(name)
        elif "/" not in place and _is_null(old):
            unmasked.append(name)
        elif wants and "/" in place and old is None and new is not None and new.kind == "l":
            enabled.append(name)
        elif wants and "/" in place and new is None and old is not None and old.kind == "l":
            disabled.append(name)
        elif not (wants and "/" not in place):  # the directory of such links
            continue
        del found[path]
    return UnitChanges(*(tuple(sorted(set(names))) for names in (masked, unmasked, enabled, disabled)))


def _is_null(entry: Entry | None) -> bool:
    return entry is not None and entry.kind == "l" and entry.content == _NULL


def _topmost(paths: t.Iterable[str]) -> tuple[str, ...]:
    """Paths without those below another of them."""
    kept: list[str] = []
    for path in sorted(paths, key=lambda path: path.split("/")):
        if not kept or not f"/{path}".startswith(f"{kept[-1]}/"):
            kept.append(f"/{path}")
    return tuple(kept)


def user_changes(image: t.Sequence[str], now: t.Sequence[str]) -> Changes:
    """Accounts, by the lines of ``/etc/passwd``."""
    old, new = ({line.partition(":")[0]: line for line in lines} for lines in (image, now))
    return Changes(
        changed=tuple(sorted(name for name in old.keys() & new.keys() if old[name] != new[name])),
        added=tuple(sorted(new.keys() - old.keys())),
        deleted=tuple(sorted(old.keys() - new.keys())),
    )
