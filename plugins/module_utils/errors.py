# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What went wrong, in terms a user can act on. PRIVATE to the collection."""

from __future__ import annotations

import difflib
import errno
import re
import reprlib
import typing as t
from dataclasses import dataclass

#: Characters of a value or a word that a message shows; words that are listed, or looked at for one that is meant.
SHOWN = 100
_LISTED, _COMPARED = 30, 2000
#: A word that nobody reads to its end; and characters of a message that are enough.
_LONG_WORD, _LONGEST = re.compile(r"\S{500,}"), 4000
_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = SHOWN
_BRIEF.maxlevel, _BRIEF.maxdict, _BRIEF.maxlist, _BRIEF.maxtuple = 3, 8, 12, 12


@dataclass(frozen=True)
class Failure:
    """What programs are told of a failure whose kind is known; the kinds are in :mod:`.builders.failures`."""

    kind: str
    #: Program that said so.
    tool: str
    #: In the tool's own words.
    message: str
    #: Where in the source of the composition, if the tool says so.
    file: t.Optional[str] = None  # noqa: UP045 - read at run time, as those of model/
    line: t.Optional[int] = None  # noqa: UP045


class ComposeError(Exception):
    """Something the user must know: the message alone must suffice to act.

    ``node`` and ``step`` are filled in by whoever knows them; :meth:`__str__` puts them in front.
    """

    failure: Failure | None = None

    def __init__(self, message: str, *, node: str | None = None, step: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.node = node
        self.step = step

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.step, self.node) if part)
        return f"{where}: {self.message}" if where else self.message


class InputError(ComposeError):
    """Wrong input, found before anything was touched. Whatever it is, the message can be read."""

    def __init__(self, message: str, *, node: str | None = None, step: str | None = None) -> None:
        super().__init__(brief(message), node=node, step=step)


class CommandError(ComposeError):
    """A command ended badly: says which, its exit code and the last lines of its output."""

    def __init__(self, command: str, returncode: int | None, output: str, *, why: str = "") -> None:
        self.command = command
        self.returncode = returncode
        self.output = output
        tail = "\n".join(output.strip().splitlines()[-20:])
        ended = why or f"exit code {returncode}"
        super().__init__(f"command failed ({ended}): {command}" + (f"\n{tail}" if tail else ""))


class MissingProgramError(ComposeError):
    """A program is not installed on this host."""

    def __init__(self, program: str, package: str) -> None:
        self.program = program
        self.package = package
        super().__init__(f"the program {program!r} is not installed; on Debian it is in the package {package!r}")


class EvaluationError(InputError):
    """The composition does not evaluate; the message keeps the evaluator's own words, with file and line."""


def in_words(error: OSError) -> str:
    """What is wrong with a file, and what to do about it, if that is always the same."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return f"{error}{'. Make room there, and run again: the file is as it was' if full else ''}"


def brief(message: str) -> str:
    """A message without the middle of what is too long in it, or of itself."""
    message = _LONG_WORD.sub(lambda word: f"{word[0][:200]}…{word[0][-100:]}", message)
    return message if len(message) <= _LONGEST else f"{message[:-1000][: _LONGEST - 1000]} … {message[-900:]}"


def nearest(word: str, valid: t.Iterable[str]) -> str:
    """The end of an error message: the nearest valid word, or all of them."""
    words = sorted(valid)
    close = difflib.get_close_matches(str(word)[:SHOWN], words[:_COMPARED], n=1)
    if close:
        return f"; did you mean {shown(close[0])}?"
    more = f" and {len(words) - _LISTED} more" if len(words) > _LISTED else ""
    return f"; valid: {', '.join(word[:SHOWN] for word in words[:_LISTED])}{more}" if words else ""


def shown(value: object) -> str:
    """A value in a message: as Python writes it, but for what is too long to be read."""
    try:
        return _BRIEF.repr(value)
    except ValueError:  # a number has more digits than Python writes
        return "a very long number"
