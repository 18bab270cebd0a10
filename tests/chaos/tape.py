# SPDX-License-Identifier: GPL-3.0-or-later
"""What a process does to the files below a directory: counted, and what the disk does not have yet is known.

Content that was not synced is lost. What is done to directories is in order, as journals of file systems keep it: so a
power cut leaves no more of it undone than one a moment earlier.
"""

from __future__ import annotations

import json
import os
import sys
import typing as t
from pathlib import Path

#: Audit events of Python that change a directory, and where in their arguments the path is, and what it is relative to;
#: see its table of audit events. Besides these: a file that is opened to be written, and ``fsync``.
_DEEDS = {
    "os.link": (1, 3),
    "os.mkdir": (0, 2),
    "os.remove": (0, 1),
    "os.rename": (0, 2),
    "os.rmdir": (0, 1),
    "os.symlink": (1, 2),
    "os.truncate": (0, 0),
}
_WRITES = os.O_WRONLY | os.O_RDWR


class Tape:
    """Of the process that makes it, to its end.

    :param directory: below which deeds count.
    :param at: number of the deed, from 1, before which ``happen`` is called.
    :ivar deeds: how many there were.
    :ivar volatile: files whose content a power cut takes away.
    """

    def __init__(self, directory: Path, at: int, happen: t.Callable[[Tape], None]) -> None:
        self.deeds = 0
        self.volatile: set[str] = set()
        self._directory = os.path.realpath(directory)
        self._at, self._happen = at, happen
        self._fsync = os.fsync
        os.fsync = self._synced
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[t.Any, ...]) -> None:
        if event == "open":
            path = _name(arguments[0])
            if arguments[2] & _WRITES and self._is_ours(path):
                self._count()
                self.volatile.add(path)
        elif event in _DEEDS:
            what, above = _DEEDS[event]
            path = _name(arguments[what], arguments[above])
            if self._is_ours(path):
                self._count()
                if event == "os.rename":
                    self._moved(path, _name(arguments[1], arguments[3]))

    def _synced(self, handle: int) -> None:
        path = os.readlink(f"/proc/self/fd/{handle}")
        if self._is_ours(path):
            self._count()
            self.volatile.discard(path)
        self._fsync(handle)

    def _moved(self, old: str, new: str) -> None:
        """A file, or a directory with what is in it."""
        self.volatile.discard(new)
        for path in [path for path in self.volatile if path == old or path.startswith(f"{old}/")]:
            self.volatile.remove(path)
            self.volatile.add(new + path[len(old) :])

    def _is_ours(self, path: str) -> bool:
        return path.startswith(f"{self._directory}/")

    def _count(self) -> None:
        self.deeds += 1
        if self.deeds == self._at:
            self._happen(self)


def _name(path: t.Any, above: object = None) -> str:
    """The whole path. :param above: descriptor of the directory that it is relative to, if it is one."""
    if isinstance(path, int):
        return os.readlink(f"/proc/self/fd/{path}")
    directory = os.readlink(f"/proc/self/fd/{above}") if isinstance(above, int) and above >= 0 else ""
    return os.path.abspath(os.path.join(directory, os.fsdecode(path)))


def save(tape: Tape, file: Path) -> None:
    """For another process."""
    file.write_text(json.dumps({"deeds": tape.deeds, "volatile": sorted(tape.volatile)}))
