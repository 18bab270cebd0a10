# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What services and programs answer, as types of those who ask. PRIVATE to the collection.

Nobody here decides what an answer looks like. So the types name what is needed of it (``ignores_unknown``), and what is
not as they say ends the step with a word about it.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass

from ..errors import ComposeError, InputError, brief
from . import codec, shape
from .free import Json

#: A text that may look like a number, and be one then.
Word = t.Union[str, int, float]

T = t.TypeVar("T")


@dataclass(frozen=True)
class Part:
    """Of an answer that says more than is asked."""

    ignores_unknown: t.ClassVar[bool] = True


class WrongAnswer(ComposeError):
    """An answer is not what it should be."""

    def __init__(self, message: str) -> None:
        super().__init__(brief(f"wrong answer: {message}"))


def answer(type_: type[T], data: t.Any, where: str) -> T:
    """An answer as an object of a type.

    :param where: who was asked for what, for messages.
    :raises WrongAnswer: says what in it is wrong.
    """
    try:
        return codec.decode(type_, data, where, lenient=True)
    except InputError as error:
        raise WrongAnswer(f"{error.message}") from None


def json_answer(type_: type[T], text: str | bytes, where: str) -> T:
    """The same of the text of an answer."""
    return answer(type_, json_of(text, where), where)


def json_of(text: str | bytes, where: str) -> Json:
    """What a text says; half a character, which nobody could be told, escaped. :raises WrongAnswer: it is no JSON."""
    try:
        told = json.loads(text)
        halves = b"\\ud" if isinstance(text, bytes) else "\\ud"
        return t.cast(Json, shape.legible(told) if halves in t.cast(t.Any, text.lower()) else told)
    except RecursionError:
        raise WrongAnswer(f"{where} is nested too deeply") from None
    except ValueError as error:
        raise WrongAnswer(f"{where} is not JSON ({error})") from None
