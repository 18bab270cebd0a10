# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nix's log in the format ``internal-json``: progress while it builds, and what explains a failure. PRIVATE.

Types and fields are those of Nix's ``logging.hh``.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ...model.answer import Word, WrongAnswer, json_answer
from ...progress import Progress
from ..failures import failed_builders

ANSI = re.compile(r"\x1b\[[0-9;]*m")

#: What newer ones say, in four lines, of each derivation that needed one that had failed: nothing that was not said.
_FOLLOWS = re.compile(r"^Cannot build '\S+'\.\s+Reason: \d+ dependenc(?:y|ies) failed")

# Types of activities and of results.
_FILE_TRANSFER, _BUILDS, _BUILD = 101, 104, 105
_LOG_LINE, _SET_PHASE, _PROGRESS, _SET_EXPECTED = 101, 104, 105, 106

#: Downloads smaller than this, in bytes, are not worth telling.
_WORTH_TELLING = 1 << 20


@dataclass(frozen=True)
class _Event:
    """A line."""

    ignores_unknown: t.ClassVar[bool] = True

    action: str = ""
    #: Of an activity or a result.
    type: int = 0
    #: Of an activity.
    id: int = 0
    level: int = 9
    msg: str | None = None
    raw_msg: str | None = None
    #: What they are depends on the type.
    fields: list[Word] = field(default_factory=list)

    def text(self) -> str:
        """The first field; empty if there is none."""
        return str(self.fields[0]) if self.fields else ""

    def number(self, index: int) -> int:
        """A field; 0 if it is no number."""
        value = self.fields[index] if index < len(self.fields) else 0
        return value if isinstance(value, int) else 0


class BuildLog:
    """Follows the log of one command.

    :param label: derivation path → how users know it.
    """

    def __init__(self, progress: Progress, label: t.Callable[[str], str]) -> None:
        self._progress = progress
        self._label = label
        #: Activity → derivation.
        self._builds: dict[int, str] = {}
        self._phases: dict[int, str] = {}
        self._unpacked: dict[int, int] = {}
        #: Derivation → what its builder said last.
        self._tails: dict[str, list[str]] = {}
        self._all_builds: set[int] = set()
        self._transfers: dict[int, int] = {}
        self._expected = (0, 0)
        self.finished = 0
        self.messages: list[str] = []

    def __call__(self, line: str) -> None:
        if not line.startswith("@nix "):
            return
        try:
            event = json_answer(_Event, line[len("@nix ") :], "Nix")
        except WrongAnswer:
            return
        action, kind, identifier = event.action, event.type, event.id
        if action == "msg" and event.level <= 1:
            message = ANSI.sub("", event.raw_msg or event.msg or "")
            if not message.strip() or _FOLLOWS.search(message):
                return
            warns = event.level == 1 and not message.startswith("warning:")
            self.messages.append(f"warning: {message}" if warns else message)
        elif action == "start" and kind == _BUILD:
            self._builds[identifier] = event.text()
            self._tails[event.text()] = []
        elif action == "start" and kind == _BUILDS:
            self._all_builds.add(identifier)
        elif action == "start" and kind == _FILE_TRANSFER:
            self._transfers[identifier] = 0
        elif action == "stop" and identifier in self._builds:
            del self._builds[identifier]
            self.finished += 1
        elif action == "result" and kind == _SET_EXPECTED and event.number(0) == _FILE_TRANSFER:
            self._expected = (self._expected[0], event.number(1))
        elif action == "result" and kind == _PROGRESS and identifier in self._all_builds:
            self._expected = (event.number(1), self._expected[1])
        elif action == "result" and kind == _PROGRESS and identifier in self._transfers:
            self._transfers[identifier] = event.number(0)
        elif action == "result" and identifier in self._builds:
            self._result(identifier, event)

    def _result(self, build: int, event: _Event) -> None:
        if event.type == _SET_PHASE:
            self._phases[build] = event.text()
            self._unpacked[build] = 0
            self._progress.say(f"{self._label(self._builds[build])}: {event.text()}")
        elif event.type == _LOG_LINE:
            line = ANSI.sub("", event.text())
            derivation = self._builds[build]
            self._tails[derivation] = [*self._tails[derivation][-24:], line]
            if line.startswith(("Unpacking ", "Setting up ")):
                self._unpacked[build] = self._unpacked.get(build, 0) + 1

    @property
    def fetched(self) -> int:
        """Bytes that were downloaded."""
        return sum(self._transfers.values())

    def describe(self) -> str:
        """What is being built now, how much of it is done, and what was fetched."""
        parts = []
        for build, derivation in list(self._builds.items()):
            steps = self._unpacked.get(build)
            done = f" ({steps} steps of packages done)" if steps else ""
            parts.append(f"{self._label(derivation)}: {self._phases.get(build, 'starting')}{done}")
        builds, size = self._expected
        fetched = self.fetched
        counts = [f"{self.finished} of {builds} built"] if builds > 1 else []
        if fetched >= _WORTH_TELLING:
            counts.append(f"{fetched >> 20} of {max(size, fetched) >> 20} MiB fetched")
        return "; ".join(parts or ["preparing"]) + (f" [{', '.join(counts)}]" if counts else "")

    def explanation(self) -> str:
        """The last lines of the builders that have failed, and Nix's own messages.

        Where Nix names none that has failed, the lines are those of the builders that were started last.
        """
        failed = [build for build in failed_builders("\n".join(self.messages)) if build in self._tails]
        spoke = [build for build, lines in self._tails.items() if lines]
        tails = [line for build in (failed or spoke)[-3:] for line in self._tails[build]]
        return "\n".join([*tails, *self.messages])
