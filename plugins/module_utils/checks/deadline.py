# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting that always ends: the time of a whole verification, and trying again within it. PRIVATE to the collection."""

from __future__ import annotations

import time
import typing as t

from ..errors import ComposeError

#: Seconds between two tries: the first, and the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0


class DeadlineError(ComposeError):
    """The time for everything together is over."""


class TriedLongEnough(ComposeError):
    """What was waited for did not come in its own time."""


class Deadline:
    """A moment in the future, after which nothing more is started.

    :param left: seconds until then.
    :param seconds: how many there were at the beginning; by default as many.
    """

    def __init__(self, left: float, seconds: float | None = None) -> None:
        self.seconds = left if seconds is None else seconds
        self._end = time.monotonic() + left

    def over(self) -> DeadlineError:
        """The error to raise when it has passed."""
        return DeadlineError(f"the verification took longer than {self.seconds:.0f} s (verify_timeout)")

    def left(self) -> float:
        """Seconds left. :raises DeadlineError: none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.over()
        return left

    def cap(self, timeout: float | None) -> float:
        """``timeout``, but not beyond the deadline. :raises DeadlineError: it has passed."""
        left = self.left()
        return left if timeout is None else min(timeout, left)

    def retry(self, fn: t.Callable[[bool], bool], timeout_seconds: float = 900) -> None:
        """Call ``fn(False)`` until it is true; when the time is over once more as ``fn(True)``, as in NixOS's driver.

        :raises TriedLongEnough: it was not true then either.
        """
        start = time.monotonic()
        pause = FIRST_PAUSE
        while time.monotonic() - start < timeout_seconds:
            if fn(False):
                return
            time.sleep(self.cap(pause))
            pause = min(pause * 1.5, LONGEST_PAUSE)
        if not fn(True):
            raise TriedLongEnough(f"timed out after {time.monotonic() - start:.1f} s")
