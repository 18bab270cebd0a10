# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words of nodes, fit to be shown: a node may say anything. PRIVATE to the collection."""

from __future__ import annotations

import re

#: What moves the cursor, colours, or renames the window of a terminal; and every other control character.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\\\)?|[ -/]*[0-~])")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")

#: Characters of a line that are shown.
WIDTH = 200


def clean(text: str) -> str:
    """The text without what a terminal would obey."""
    return _CONTROL.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n")))


def last_lines(text: str, lines: int) -> str:
    """The last lines that say something, each of a width that can be read."""
    kept = [line.strip() for line in clean(text).splitlines() if line.strip()]
    return "\n".join(line if len(line) <= WIDTH else cut(line[:WIDTH]) for line in kept[-lines:])


def cut(line: str) -> str:
    """The begin of a line, without its last word: a part of a secret is none that anybody knows to hide."""
    return f"{line.rpartition(' ')[0]}…"
