"""Simulated time: it may pass faster than real time, and jump."""

from __future__ import annotations

import threading
import time
import typing as t

if t.TYPE_CHECKING:
    from .faults import Faults


class Clock:
    """The clock of all nodes."""

    def __init__(self, pace: float, faults: Faults) -> None:
        self.pace = pace
        self._faults = faults

    def time(self) -> float:
        """Seconds since the epoch, as the nodes believe."""
        return time.time() + self._faults.clock_jump()

    def sleep(self, seconds: float, stop: threading.Event | None = None) -> None:
        """Lets simulated seconds pass; returns early when ``stop`` is set."""
        (stop or threading.Event()).wait(seconds * self.pace)
