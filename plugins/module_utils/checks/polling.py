# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conditions that have to hold for as long as a part of a test script runs. PRIVATE to the collection."""

from __future__ import annotations

import time
import typing as t

from .raised import PollingConditionError

#: What a script decorates, and what comes of it.
Condition = t.Callable[[], t.Optional[bool]]
Retry = t.Callable[[t.Callable[[bool], bool], float], None]


class Poll:
    """One condition: within ``with`` it is looked at before commands; ``wait`` waits until it holds.

    :param seconds_interval: that have to pass between two looks.
    """

    def __init__(
        self, conditions: Conditions, fun: Condition, seconds_interval: float, description: str | None
    ) -> None:
        self._conditions = conditions
        self._fun = fun
        self._interval = seconds_interval
        self.description = description or fun.__doc__ or getattr(fun, "__name__", "condition")
        self._looked = float("-inf")
        #: It is being looked at: what it does is not polled itself.
        self._busy = False

    def __enter__(self) -> None:
        self._conditions.active.append(self)

    def __exit__(self, *error: object) -> None:
        self._conditions.active.remove(self)

    def wait(self, timeout: float = 900) -> None:
        """Wait until the condition holds."""
        self._conditions.say(f"waiting for {self.description}")
        self._conditions.retry(lambda _last: self._holds(), timeout)

    def require(self) -> None:
        """Look, if it is time again. :raises PollingConditionError: the condition does not hold."""
        if self._busy or time.monotonic() < self._looked + self._interval:
            return
        if not self._holds():
            raise PollingConditionError(f"Polling condition failed: {self.description}")

    def _holds(self) -> bool:
        self._busy = True
        try:
            result = self._fun()
            return result is None or bool(result)
        except Exception:  # as in NixOS's driver: whatever it asked for is not so
            return False
        finally:
            self._busy = False
            self._looked = time.monotonic()


class Conditions:
    """Those of a script.

    :param retry: tries something again and again.
    :param say: tells the user a line.
    """

    def __init__(self, retry: Retry, say: t.Callable[[str], None]) -> None:
        self.retry = retry
        self.say = say
        self.active: list[Poll] = []

    def require(self) -> None:
        """:raises PollingConditionError: one that is active does not hold."""
        for poll in tuple(self.active):
            poll.require()

    def polling_condition(
        self, fun_: Condition | None = None, *, seconds_interval: float = 2.0, description: str | None = None
    ) -> Poll | t.Callable[[Condition], Poll]:
        """The decorator, with or without arguments."""

        def decorate(fun: Condition) -> Poll:
            return Poll(self, fun, seconds_interval, description)

        return decorate if fun_ is None else decorate(fun_)
