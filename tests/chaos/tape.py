# SPDX-License-Identifier: GPL-3.0-or-later
"""What a process does to the files below a directory: counted, and what the disk does not have yet is known."""

from __future__ import annotations

import json
import os
import sys
import typing as t
from pathlib import Path

#: Audit events of Python that change a directory, see its table of audit events; before each of them, something may
#: happen to the disk. Besides these: a file that is opened to be written, and ``fsync``.
_DEEDS = ("os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate")
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
            path, _mode, flags = arguments
            if flags & _WRITES and self._is_ours(path):
                self._count()
                self.volatile.add(_name(path))
        elif event in _DEEDS and self._is_ours(arguments[0]):
            self._count()
            if event == "os.rename":
                self._moved(_name(arguments[0]), _name(arguments[1]))

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

    def _is_ours(self, path: object) -> bool:
        return isinstance(path, (str, bytes, os.PathLike)) and _name(path).startswith(f"{self._directory}/")

    def _count(self) -> None:
        self.deeds += 1
        if self.deeds == self._at:
            self._happen(self)


def _name(path: t.Any) -> str:
    return os.path.abspath(os.fsdecode(path))


def save(tape: Tape, file: Path) -> None:
    """For another process."""
    file.write_text(json.dumps({"deeds": tape.deeds, "volatile": sorted(tape.volatile)}))
