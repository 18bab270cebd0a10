# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether machines are on, and the end of that. PRIVATE to the collection."""

from __future__ import annotations

import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from ...errors import ComposeError
from ...progress import Progress, listed
from .backend import PowerBackend
from .outcome import KadeployError

if t.TYPE_CHECKING:
    from ...nodes.connection import Connection

#: Seconds for machines to say whether they are on, or to end.
POWER = 120.0
#: Seconds for a node to answer, and for its system to end; nodes that are asked at the same time.
_REACH, _END, _ASKED = 10.0, 60.0, 32
#: Kadeploy's number where machines are not the user's any more.
_NO_RIGHTS = 6


class Power(t.Protocol):
    """Of the machines of a deployment.

    ``which`` says what to call each machine: its node.
    """

    def are_off(self, which: t.Mapping[str, str]) -> set[str]:
        """What those are called that are switched off, as far as that can be told."""

    def switch_off(self, which: t.Mapping[str, str]) -> dict[str, str]:
        """Switch machines off; those that did not, and why."""


class Management:
    """By Kadeploy, which asks their management."""

    def __init__(self, backend: PowerBackend, progress: Progress) -> None:
        self._backend = backend
        self._progress = progress

    def are_off(self, which: t.Mapping[str, str]) -> set[str]:
        if not which:
            return set()
        try:
            return {which[machine] for machine in self._backend.are_off(list(which), POWER)}
        except ComposeError as error:
            self._progress.say(f"whether {listed(which)} are switched on cannot be told: {error.message}")
            return set()

    def switch_off(self, which: t.Mapping[str, str]) -> dict[str, str]:
        if not which:
            return {}
        try:
            self._backend.await_power(which, POWER)
            with self._progress.waiting(lambda: f"switching off {listed(which.values())}"):
                outcome = self._backend.switch_off(list(which), POWER)
        except KadeployError as error:
            if error.code != _NO_RIGHTS:
                return dict.fromkeys(which, error.message)
            self._progress.say(f"{listed(which)}: not this user's any more, and left to whoever has them now")
            return {}
        except ComposeError as error:
            return dict.fromkeys(which, error.message)
        return outcome.reasons()


class Logins:
    """By the nodes themselves, where Kadeploy is asked in a way that has no power: those that do not answer run on.

    :param connect: a node, by its name.
    """

    def __init__(self, connect: t.Callable[[str], Connection], progress: Progress) -> None:
        self._connect = connect
        self._progress = progress

    def are_off(self, which: t.Mapping[str, str]) -> set[str]:
        """None: a machine that is off is as silent as one that is not."""
        return set()

    def switch_off(self, which: t.Mapping[str, str]) -> dict[str, str]:
        if not which:
            return {}
        with ThreadPoolExecutor(max_workers=min(_ASKED, len(which))) as pool:
            ended = dict(zip(which, pool.map(self._shut_down, which.values())))
        left = [machine for machine, has in ended.items() if not has]
        if left:
            self._progress.say(
                f"{listed(left)}: cannot be switched off, as they do not answer: they are left until their job ends"
            )
        return {}

    def _shut_down(self, name: str) -> bool:
        """Whether a node has ended."""
        try:
            shell = self._connect(name)
            try:
                shell.open(_REACH)
                with suppress(ComposeError):  # the connection may end before the command
                    shell.run("systemctl poweroff", _REACH)
            finally:
                shell.close()
        except ComposeError:
            return False
        end = time.monotonic() + _END
        while time.monotonic() < end:
            try:
                shell = self._connect(name)
                try:
                    shell.open(1.0)
                finally:
                    shell.close()
            except ComposeError:
                return True
            time.sleep(0.5)
        return False
