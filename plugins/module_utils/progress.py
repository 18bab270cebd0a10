# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress of a long step, as lines in a file that the controller-side action follows. PRIVATE to the collection."""

from __future__ import annotations

import threading
import time
import typing as t
from contextlib import contextmanager

#: Nothing may be silent for longer than this, in seconds.
HEARTBEAT = 4.0


class Progress:
    """Appends one line for each thing worth telling. Safe to use from several threads.

    :param path: file that the action plugin follows; ``None`` keeps quiet.
    :param mask: makes secrets in a line unreadable.
    """

    def __init__(self, path: str | None = None, mask: t.Callable[[str], str] = str) -> None:
        self._path = path
        self._mask = mask
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Tell one line at once."""
        if self._path is None:
            return
        with self._lock, open(self._path, "a", encoding="utf-8") as stream:
            stream.write(self._mask(" ".join(text.splitlines())) + "\n")

    @contextmanager
    def waiting(self, describe: t.Callable[[], str]) -> t.Iterator[None]:
        """While the body runs, say ``describe()`` and the seconds passed every :data:`HEARTBEAT` seconds."""
        stop = threading.Event()
        start = time.monotonic()

        def beat() -> None:
            while not stop.wait(HEARTBEAT):
                self.say(f"{describe()} ({time.monotonic() - start:.0f} s)")

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
