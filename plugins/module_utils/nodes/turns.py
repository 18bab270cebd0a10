# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns for what takes CPU time of this host, one after the other. PRIVATE to the collection."""

from __future__ import annotations

import threading
import time
import typing as t
from contextlib import contextmanager


class Turns:
    """Lets so many threads in at once; who stays for long does not count any more.

    Were all let in because nobody comes out, a host that is only slow would come to a stop: a thousand key exchanges
    at once all last longer than anybody waits for them, and begin anew together.

    :param seconds: after which one that is in makes room for another.
    """

    def __init__(self, count: int, seconds: float) -> None:
        self._count, self._seconds = count, seconds
        self._inside: dict[object, float] = {}  # until when each counts
        self._changed = threading.Condition()

    @contextmanager
    def taken(self) -> t.Iterator[None]:
        """While the body runs, others wait."""
        turn = object()
        with self._changed:
            while (wait := self._full_for()) > 0:
                self._changed.wait(wait)
            self._inside[turn] = time.monotonic() + self._seconds
        try:
            yield
        finally:
            with self._changed:
                del self._inside[turn]
                self._changed.notify()

    def _full_for(self) -> float:
        """Seconds until the next may come in, should nobody come out."""
        now = time.monotonic()
        left = sorted(until - now for until in self._inside.values() if until > now)
        return 0.0 if len(left) < self._count else left[-self._count]
