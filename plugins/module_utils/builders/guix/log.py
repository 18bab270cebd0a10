# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guix's output while it evaluates and builds: text for people, from which progress is told. PRIVATE."""

from __future__ import annotations

import re
from collections import deque

from ...progress import Progress

_ANSI = re.compile(r"\x1b\[[0-9;]*[mK]")
_STORE_FILE = re.compile(r"/\S+/[a-z0-9]{32}-(\S+?)(?:\.drv)?(?:\.\.\.)?(?=[\s']|$)")
_BUILDING = re.compile(r"^building (/\S+\.drv)")
_ANNOUNCED = re.compile(r"will be (built|downloaded):$")
_WORTH_TELLING = re.compile(
    r"^(?:building |downloading |substituting |applying \d+ grafts? |Updating channel|Authenticating channel|"
    r"Computing Guix derivation|substitute: updating|@ build-log|[\w-]+ +[\d.]+ ?[KMG]iB)"
)

#: Lines that are kept to explain a failure.
_KEPT = 60
#: Characters of a line that are looked at.
_WIDTH = 2000


class GuixLog:
    """Follows the standard error of one command.

    :param what: what the command is for, as users know it: ``build server``.
    """

    def __init__(self, progress: Progress, what: str) -> None:
        self._progress = progress
        self._what = what
        self._now = "evaluating"
        self._expected = 0
        self._announcing = ""
        self._tail: deque[str] = deque(maxlen=_KEPT)
        self.started = 0

    def __call__(self, text: str) -> None:
        # Downloads rewrite their line.
        for part in text.split("\r"):
            line = _ANSI.sub("", part[:_WIDTH]).rstrip()
            if line:
                self._line(line)

    def _line(self, line: str) -> None:
        announced = _ANNOUNCED.search(line)
        if announced:
            self._announcing = announced[1]
        elif line.startswith("  ") and self._announcing:
            self._expected += self._announcing == "built"
            return
        else:
            self._announcing = ""
        self._tail.append(line)
        if _WORTH_TELLING.match(line):
            self._now = " ".join(_STORE_FILE.sub(r"\1", line).split())
        if _BUILDING.match(line):
            self.started += 1
            self._progress.say(self.describe())

    def describe(self) -> str:
        """What is done now."""
        count = f"{self.started}/{self._expected} " if self._expected >= self.started > 0 else ""
        return f"{self._what}: {count}{self._now}"

    def explanation(self) -> str:
        """The last lines."""
        return "\n".join(self._tail)
