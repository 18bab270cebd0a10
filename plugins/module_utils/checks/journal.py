# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What programs say to the journal of a node, which NixOS's driver has on the console. PRIVATE to the collection."""

from __future__ import annotations

_CURSOR = "-- cursor: "


class Journal:
    """Asks for each line once. What the kernel says is on the console itself."""

    def __init__(self) -> None:
        self._after = ""

    def begin(self, moment: str = "") -> None:
        """Lines count from now on.

        :param moment: seconds since 1970, by the clock of the node; else all lines of its present boot count.
        """
        self._after = f"--since=@{moment}" if moment else ""

    @property
    def question(self) -> str:
        """The command that says what is new."""
        sources = " ".join(f"_TRANSPORT={source}" for source in ("journal", "stdout", "syslog"))
        return f"journalctl -b -q --no-pager -o short-monotonic --show-cursor {self._after} {sources}"

    def answer(self, said: str) -> list[str]:
        """The lines in what it said."""
        *lines, last = said.splitlines() or [""]
        if not last.startswith(_CURSOR):
            return [*lines, last] if last else lines
        self._after = f"--after-cursor='{last.removeprefix(_CURSOR).strip()}'"
        return lines
