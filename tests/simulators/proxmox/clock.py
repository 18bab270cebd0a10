"""Simulated time: it may pass faster than real time, and jump."""

from __future__ import annotations

import threading
import time
import typing as t
from collections import defaultdict

if t.TYPE_CHECKING:
    from .faults import Faults


class Clock:
    """The clock of all nodes."""

    def __init__(self, pace: float, faults: Faults) -> None:
        self.pace = pace
        self._faults = faults
        self._slept: dict[int, float] = defaultdict(float)
        #: Thread that sleeps → since when (real), how long (simulated).
        self._asleep: dict[int, tuple[float, float]] = {}

    def time(self) -> float:
        """Seconds since the epoch, as the nodes believe."""
        return time.time() + self._faults.clock_jump()

    def sleep(self, seconds: float, stop: threading.Event | None = None) -> None:
        """Lets simulated seconds pass; returns early when ``stop`` is set."""
        me = threading.get_ident()
        since = time.monotonic()
        self._asleep[me] = since, seconds
        stopped = (stop or threading.Event()).wait(seconds * self.pace)
        del self._asleep[me]
        self._slept[me] += min(seconds, (time.monotonic() - since) / self.pace) if stopped and self.pace else seconds

    def slept(self, thread: int) -> float:
        """Simulated seconds that a thread has let pass; real work takes none, however slow this computer is."""
        total = self._slept[thread]
        since, seconds = self._asleep.get(thread, (0.0, 0.0))
        return total + (min(seconds, (time.monotonic() - since) / self.pace) if seconds and self.pace else 0.0)
