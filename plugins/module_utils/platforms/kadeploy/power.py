# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether machines are on, and the end of that. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ...errors import ComposeError
from ...progress import Progress, listed
from .outcome import KadeployError
from .rest import Rest

#: Seconds for machines to say whether they are on, or to end.
POWER = 120.0
#: Kadeploy's number where machines are not the user's any more.
_NO_RIGHTS = 6


class Power:
    """Of the machines of a deployment.

    ``which`` of its methods says what to call each machine in words for people.
    """

    def __init__(self, rest: Rest, progress: Progress) -> None:
        self._rest = rest
        self._progress = progress

    def are_off(self, which: t.Mapping[str, str]) -> set[str]:
        """What those are called that are switched off, as far as that can be told."""
        if not which:
            return set()
        try:
            return {which[machine] for machine in self._rest.are_off(list(which), POWER)}
        except ComposeError as error:
            self._progress.say(f"whether {listed(which)} are switched on cannot be told: {error.message}")
            return set()

    def switch_off(self, which: t.Mapping[str, str]) -> dict[str, str]:
        """Switch machines off; those that did not, and why."""
        if not which:
            return {}
        try:
            self._rest.await_power(which, POWER)
            identifier = self._rest.switch_off(list(which))
            with self._progress.waiting(lambda: f"switching off {listed(which.values())}"):
                outcome = self._rest.wait(identifier, list(which), POWER)
            self._rest.forget(identifier)
        except KadeployError as error:
            if error.code != _NO_RIGHTS:
                return dict.fromkeys(which, error.message)
            self._progress.say(f"{listed(which)}: not this user's any more, and left to whoever has them now")
            return {}
        except ComposeError as error:
            return dict.fromkeys(which, error.message)
        return outcome.reasons()
