"""Simulated time: it passes as fast as ``pace`` says, and is counted by who waits, however slow the computer is."""

from __future__ import annotations

import threading
import time


class Cancelled(Exception):
    """What was waiting is not wanted any more."""


class Clock:
    """:param pace: real seconds in a simulated one"""

    def __init__(self, pace: float) -> None:
        self.pace = pace

    def sleep(self, seconds: float, cancelled: threading.Event) -> None:
        """Lets simulated seconds pass.

        :raises Cancelled: as soon as that is so
        """
        if cancelled.wait(seconds * self.pace):
            raise Cancelled

    def since(self, began: float) -> float:
        """Simulated seconds since a real time of :func:`time.time`."""
        return (time.time() - began) / (self.pace or 1)
