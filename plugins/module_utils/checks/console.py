# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is new on a console of which only the end can be asked for. PRIVATE to the collection."""

from __future__ import annotations

import re
import threading
import typing as t

#: Lines of the end that are compared with what was there before.
WINDOW = 1000
#: More than anybody keeps.
ALL = 1 << 17


class Console:
    """The console of one node. Each line is told once.

    :param read: gives the last so many lines.
    """

    def __init__(self, read: t.Callable[[int], str]) -> None:
        self._read = read
        self._seen: list[str] = []
        self._untold: list[str] = []
        self._lock = threading.Lock()

    def skip(self) -> None:
        """What is there already is not new."""
        with self._lock:
            self._seen, self._untold = self._lines(), []

    def matches(self, pattern: re.Pattern[str], told: list[str], more: t.Sequence[str] = ()) -> bool:
        """Whether what is new, up to some line, has the pattern in it; the lines after that are told the next time.

        :param told: lines that were new before, in the same search; those that are new now are added.
        :param more: lines that are new elsewhere.
        """
        with self._lock:
            now = self._lines()
            self._untold += [*beyond(self._seen, now), *more]
            self._seen = now
            while self._untold:
                told.append(self._untold.pop(0))
                # NixOS's driver joins lines without anything in between.
                if pattern.search("".join(told)) or pattern.search("\n".join(told)):
                    return True
        return False

    def everything(self) -> str:
        """All that is kept of it."""
        return self._read(ALL)

    def end(self, lines: int) -> str:
        """Its last lines."""
        return self._read(lines)

    def _lines(self) -> list[str]:
        return self._read(WINDOW).replace("\r", "").splitlines()


def beyond(before: t.Sequence[str], now: t.Sequence[str]) -> list[str]:
    """What the end of a text has that it did not have before.

    The first line may be cut, and the last one may not have been whole yet.
    """
    for common in range(min(len(before), len(now)), 0, -1):
        old, new = before[-common:], now[:common]
        if (
            old[1:-1] == new[1:-1]
            and (common == 1 or old[0].endswith(new[0]))
            and (new[-1].startswith(old[-1]) or (common == 1 and old[0].endswith(new[0])))
        ):
            rest = new[-1].removeprefix(old[-1])
            return [*([rest] if rest and new[-1] != old[-1] and common > 0 else []), *now[common:]]
    return list(now)
