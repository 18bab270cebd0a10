# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that no run leaves behind for long, however it ends. PRIVATE to the collection."""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import tempfile
from contextlib import suppress

_PREFIX = "immutable-compose-"


class TemporaryDirectory(tempfile.TemporaryDirectory[str]):
    """As Python's own. What a process has left that was killed goes as soon as another one is made.

    It is locked as long as it is in use: the kernel frees it, whatever becomes of the process.

    :param what: it is for.
    """

    def __init__(self, what: str) -> None:
        sweep()
        while True:
            super().__init__(prefix=f"{_PREFIX}{what}-")
            with suppress(FileNotFoundError):  # somebody took it for left over, before it was locked
                self._lock: int | None = _opened(self.name)
                fcntl.flock(self._lock, fcntl.LOCK_EX)
                if os.path.isdir(self.name):
                    return
                os.close(self._lock)

    def cleanup(self) -> None:
        """Remove it; once more does nothing."""
        super().cleanup()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def sweep() -> None:
    """Remove this user's directories that no process has any more."""
    for path in glob.glob(os.path.join(glob.escape(tempfile.gettempdir()), f"{_PREFIX}*")):
        with suppress(OSError):  # somebody else's, or gone meanwhile
            handle = _opened(path)
            try:
                if os.fstat(handle).st_uid == os.geteuid():
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path)
            finally:
                os.close(handle)


def _opened(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
