# SPDX-License-Identifier: GPL-3.0-or-later
"""A terminal, as much of one as is needed to know what is left on it."""

from __future__ import annotations

import re


class Terminal:
    """As much of one as is needed: the cursor is at the end of its line, or at the begin of an empty one."""

    def __init__(self) -> None:
        self.lines = [""]
        self.row = 0
        self.sent = 0

    def write(self, text: str) -> None:
        """Ansible prints it, and ends the line."""
        self.sent += 1
        self.shows(f"{text}\n")

    def shows(self, text: str) -> None:
        """All that is sent to it."""
        for part in re.findall(r"\x1b\[[\d;]*[A-Za-z]|\n|[^\x1b\n]+", text.replace("\r", "")):
            if part == "\n":
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif part == "\x1b[J":
                self.lines[self.row :] = [""]
            elif part.startswith("\x1b") and part.endswith("A"):
                self.row -= int(part[2:-1] or 1)
            elif not part.startswith("\x1b"):
                self.lines[self.row] += part
