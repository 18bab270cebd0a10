# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress of a long step, as lines in a file that the controller-side action follows. PRIVATE to the collection."""

from __future__ import annotations

import os
import threading
import time
import typing as t
from contextlib import contextmanager, suppress
from types import TracebackType

from .files import Log

#: Nothing may be silent for longer than this, in seconds.
HEARTBEAT = 4.0
#: Seconds between two lines that say the same.
REMINDER = 60.0
#: Last line of a progress file whose module has nothing more to say.
END = "\x04"
#: Begins a line that says what became of a node: its name, a space, its state. For who draws, not for who reads.
BECAME = "\x05"

#: Nodes and tools may say what would change the terminal of whoever reads it.
_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), "�")


#: Up to so many nodes, each has lines of its own. Of more it is told how many are done, and what is wrong: a controller
#: like AWX keeps each line as an event of its own.
TOLD = 20
#: Added to the path of a progress file: a file that is touched whenever a controller elsewhere looks for progress.
SEEN = ".seen"
#: Seconds after which a run of another host that nothing was heard of has ended.
PATIENCE = 60.0
#: Names that a line gives; of the others it says how many there are.
NAMES = 8


def listed(names: t.Iterable[str]) -> str:
    """Names, as a line of progress has them."""
    all_names = list(names)
    more = len(all_names) - NAMES
    return ", ".join(all_names[:NAMES]) + (f" and {more} more" if more > 0 else "")


class Record(t.Protocol):
    """Is told of what happens in a run, line or not."""

    def __call__(self, kind: t.Any, node: str = "", state: t.Any = "", text: str = "") -> None: ...


class Progress:
    """Appends one line for each thing worth telling. Safe to use from several threads.

    :param path: file that the action plugin follows; ``None`` keeps quiet.
    :param mask: makes secrets in a line unreadable.
    :param mask_file: does so with a file that is text, piece by piece.
    """

    def __init__(
        self,
        path: str | None = None,
        mask: t.Callable[[str], str] = str,
        mask_file: t.Callable[[t.Iterable[bytes]], t.Iterable[bytes]] = iter,
    ) -> None:
        self.mask = mask
        self.mask_file = mask_file
        self.path = path
        self._log = Log(path) if path is not None else None
        #: Where the run is recorded, if it is.
        self.record: Record | None = None
        self._lock = threading.Lock()
        self._last, self._when = "", 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing comes after this."""
        self._write(END)

    @property
    def forgotten(self) -> bool:
        """Whether a controller elsewhere, which looked for progress, does not any more."""
        with suppress(FileNotFoundError):
            return time.time() - os.stat(f"{self.path}{SEEN}").st_mtime > PATIENCE
        return False

    def say(self, text: str, kind: str = "line") -> None:
        """Tell one line at once; the same once more only after :data:`REMINDER` seconds.

        :param kind: of the event that the line is recorded as.
        """
        line = self.mask(" ".join(text.splitlines())).translate(_CONTROLS)
        now = time.monotonic()
        with self._lock:
            if line == self._last and now - self._when < REMINDER:
                return
            self._last, self._when = line, now
        self._write(line)
        if self.record is not None:
            self.record(kind, text=line)

    def became(self, node: str, state: str, why: str = "") -> None:
        """Tell what became of a node. No line to read: with many nodes, those say less.

        :param state: one of ``NodeState`` (model/event.py).
        :param why: it failed.
        """
        self._write(f"{BECAME}{node} {state}")
        if self.record is not None:
            self.record("node", node, state, self.mask(why))

    def _write(self, line: str) -> None:
        if self._log is None:
            return
        # A step that cannot tell how it fares, since the disk is full, fares no worse for it.
        with suppress(OSError), self._lock:
            self._log.add(f"{line}\n")

    @contextmanager
    def waiting(self, describe: t.Callable[[], str]) -> t.Iterator[None]:
        """While the body runs, say ``describe()`` and the seconds passed, as soon as it says something new.

        What it has said already, maybe with other words in between, is repeated every :data:`REMINDER` seconds. The
        first line comes after :data:`HEARTBEAT` seconds, and no two within less than that.
        """
        stop = threading.Event()
        start = time.monotonic()

        def beat() -> None:
            told: dict[str, float] = {}
            while not stop.wait(HEARTBEAT):
                now = time.monotonic()
                text = describe()
                if now - told.get(text, -REMINDER) >= REMINDER:
                    self.say(f"{text} ({now - start:.0f} s)")
                    told[text] = now

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
