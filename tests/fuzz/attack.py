# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives a reader what it is not made for, and judges what comes of it."""

from __future__ import annotations

import random
import signal
import traceback
import typing as t
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass

from ansible.errors import AnsibleError
from hypothesis import HealthCheck, Phase, given, seed, settings

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError

from .harm import Maker, chance, junk

#: Seconds of processor time for one input. Most take less than a thousandth of that.
PATIENCE = 5.0
#: Seconds for one input on a machine that does something else, too.
WAITING = 30.0
#: Characters of a message, besides the last lines of a program: nobody reads on.
LONGEST = 4100

#: Inputs that are made of what hypothesis gives at once, which takes longer than most readers.
BATCH = 10


class Hangs(BaseException):
    """An input has taken too long."""


@dataclass(frozen=True)
class Reader:
    """Something that reads.

    :param read: is given an input.
    :param inputs: what it is given.
    :param refuses: what it may raise: what people are told of it is complete.
    :param names: what each message must have, such as the name of a file.
    :param share: how many of the inputs it is given, where 1 is usual.
    """

    name: str
    read: Callable[[t.Any], object]
    inputs: Maker
    refuses: tuple[type[Exception], ...] = (ComposeError,)
    names: str = ""
    share: float = 1.0


@contextmanager
def patience(seconds: float = PATIENCE) -> t.Iterator[None]:
    """:raises Hangs: the body takes too long."""

    def end(*_ignored: object) -> None:
        raise Hangs

    timers = {signal.SIGPROF: (signal.ITIMER_PROF, seconds), signal.SIGALRM: (signal.ITIMER_REAL, WAITING)}
    before = {number: signal.signal(number, end) for number in timers}
    for timer, limit in timers.values():
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for timer, _limit in timers.values():
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def verdict(reader: Reader, data: t.Any) -> str:
    """What is wrong with how a reader takes an input; empty if nothing is."""
    try:
        with patience():
            reader.read(data)
    except reader.refuses as error:
        message = str(error)
        if not message.strip() or len(message) > LONGEST:
            return f"a message of {len(message)} characters: {message[:200]}"
        if reader.names not in message and not isinstance(error, AnsibleError):  # which tells the file beside it
            return f"a message that does not name {reader.names}: {message[:500]}"
    except Hangs:
        return f"hangs: more than {PATIENCE:.0f} s of processor time, or {WAITING:.0f} s"
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return (
            f"{type(error).__name__}: {str(error)[:200]}\n"
            + "".join(traceback.format_exception(error)[-4:])[-1500:]
            + f"at {place.filename}:{place.lineno}"
        )
    return ""


def attack(reader: Reader, number: int, count: int) -> int:
    """Give a reader so many inputs, which follow from a number; how many it was given.

    :raises AssertionError: says what it did with which.
    """
    given_ = 0

    @settings(
        max_examples=max(1, count // BATCH),
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(chance, junk)
    def one(chance_: random.Random, found: list[t.Any]) -> None:
        nonlocal given_
        for _input in range(BATCH):
            given_ += 1
            data = reader.inputs(chance_, found)
            wrong = verdict(reader, data)
            assert not wrong, f"{reader.name}: {wrong}\ninput: {repr(data)[:2000]}"

    for turn in range(20):  # what it has seen, hypothesis does not give again
        if given_ < count:
            seed(number * 100 + turn)(one)()
    return given_
