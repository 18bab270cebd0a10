"""Command lines as Ruby's OptionParser reads them."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass


@dataclass(frozen=True)
class Option:
    """An option of a command.

    :param name: what the value is kept as; several values are kept as a list if it ends in ``[]``
    :param flags: ``-e``, ``--env-name``; ``--[no-]wait``
    :param value: ``no``, ``yes``, or ``maybe`` (then it may be left out)
    :param pattern: what a value looks like
    """

    name: str
    flags: tuple[str, ...]
    value: t.Literal["no", "yes", "maybe"] = "no"
    pattern: str = ""


class UsageError(Exception):
    """A command line that cannot be read."""


def parse(options: t.Sequence[Option], arguments: t.Sequence[str]) -> tuple[list[tuple[str, t.Any]], list[str]]:
    """The options in their order, and the other arguments."""
    known: dict[str, tuple[Option, bool]] = {}
    for option in options:
        for flag in option.flags:
            known[flag.replace("[no-]", "")] = (option, True)
            if "[no-]" in flag:
                known[flag.replace("[no-]", "no-")] = (option, False)
    found: list[tuple[str, t.Any]] = []
    rest: list[str] = []
    left = list(arguments)
    while left:
        word = left.pop(0)
        if word == "--":
            return found, rest + left
        if not word.startswith("-") or word == "-":
            rest.append(word)
            continue
        flag, given = word, None
        if word.startswith("--"):
            flag, equals, value = word.partition("=")
            given = value if equals else None
        elif len(word) > 2:
            flag, given = word[:2], word[2:]
        flag = _long(flag, known)
        if flag not in known:
            raise UsageError(f"invalid option: {word}")
        option, yes = known[flag]
        if option.value == "no":
            found.append((option.name, yes))
            continue
        if given is None and left and (option.value == "yes" or not left[0].startswith("-")):
            given = left.pop(0)
        if given is None and option.value == "yes":
            raise UsageError(f"missing argument: {flag}")
        if given is not None and option.pattern and not re.search(option.pattern, given):
            raise UsageError(f"invalid argument: {flag} {given}")
        found.append((option.name, given if given is not None else True))
    return found, rest


def _long(flag: str, known: t.Collection[str]) -> str:
    """Long options may be shortened."""
    if flag in known or not flag.startswith("--"):
        return flag
    fits = [name for name in known if name.startswith(flag)]
    return fits[0] if len(fits) == 1 else flag
