# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the test script of a composition, in a process that does nothing else. PRIVATE to the collection.

It has neither connections nor keys: what machines are asked for is done by the process that started this one
(:mod:`.script_process`).
"""

from __future__ import annotations

import dataclasses
import io
import math
import os
import signal
import socket
import sys
import threading
import time
import traceback
import typing as t
from contextlib import contextmanager, suppress
from types import FrameType

from ..errors import ComposeError, shown
from ..model.report import Check, CheckDetails, Measurement
from ..progress import listed
from .deadline import Deadline, TriedLongEnough
from .polling import Conditions
from .proxies import Calls, Machine, Machines
from .raised import RequestedAssertionFailed, TestScriptError, offer
from .script import SCRIPT, compiled, variables
from .wire import Script, Wire


def main(talk: int, door: int) -> t.NoReturn:
    """Run the script that comes over a socket. Whatever it leaves behind, this ends with it.

    :param talk: descriptor of the socket.
    :param door: the one through which those of threads go.
    """
    wire = Wire(socket.socket(fileno=talk))
    message = wire.receive()
    if message is not None:
        _Run(wire, Calls(socket.socket(fileno=door)), Script(**message)).run()
        with suppress(OSError):
            wire.send({"kind": "end"})
    os._exit(0)


class _Run:
    """One run of a test script."""

    def __init__(self, wire: Wire, calls: Calls, script: Script) -> None:
        self._wire = wire
        self._calls = calls
        self._text = script.text
        self._values = script.values
        self._deadline = Deadline(script.left, script.seconds)
        self._machines = Machines(
            Machine(name, role, calls, self._say, script.results) for name, role in script.nodes.items()
        )
        self._conditions = Conditions(self._retry, self._say)
        if script.results:  # as in a build of NixOS's driver
            os.makedirs(script.results, exist_ok=True)
            os.environ["out"] = script.results  # noqa: SIM112
        offer(Machine, self._retry)
        os.register_at_fork(after_in_child=wire.drop)
        threading.Thread(target=self._listen, args=[threading.get_ident()], daemon=True).start()

    def run(self) -> None:
        start = time.monotonic()
        sys.stdout = output = _Lines(self._say)
        failure = None
        try:
            exec(compiled(self._text, SCRIPT)[0], self._symbols())
        except BaseException as error:  # SystemExit included: a script that leaves early has not passed
            failure = error
        seconds = time.monotonic() - start
        output.close()
        asked = listed(sorted(self._calls.answered)) or "none"
        seen = f"{len(self._text.splitlines())} lines; nodes that were asked: {asked}"
        well = Check(SCRIPT, True, seconds=seconds, seen=seen)
        self._tell(well if failure is None else self._failed(failure, seconds))

    def _say(self, text: str) -> None:
        self._wire.send({"kind": "say", "text": text})

    def _tell(self, check: Check) -> None:
        self._wire.send({"kind": "check", **dataclasses.asdict(check)})

    def _listen(self, script: int) -> None:
        """Say which line the script is at, as often as that is asked.

        :param script: its thread.
        """
        while self._wire.receive() is not None:
            frame = sys._current_frames().get(script)
            self._wire.send({"kind": "at", "lines": _lines(reversed(list(traceback.walk_stack(frame))))})
        os.killpg(0, signal.SIGKILL)  # who started this is gone

    # -- what the script finds defined ---------------------------------------------------------------------------

    def _symbols(self) -> dict[str, t.Any]:
        general = {
            "BaseMachine": Machine,
            "Machine": Machine,
            "join_all": self._join_all,
            "log": _Log(self._say, self._subtest),
            "machines": self._machines,
            "os": os,
            "parallel": parallel,
            "polling_condition": self._polling_condition,
            "record": self._record,
            "retry": self._retry,
            "serial_stdout_off": _nothing,
            "serial_stdout_on": _nothing,
            "start_all": self._start_all,
            "subtest": self._subtest,
            "t": _Assertions(),
        }
        nodes = variables((machine.name for machine in self._machines), self._text)
        return {
            "__name__": SCRIPT,
            **general,
            **self._values,
            **{key: self._machines[name] for key, name in nodes.items()},
        }

    def _record(self, name: str, value: float | str, unit: str = "") -> None:
        """Report a value that was measured. :raises TypeError: it is neither a number nor a text."""
        if (
            not isinstance(name, str)
            or not name
            or not isinstance(unit, str)
            or not isinstance(value, (bool, int, float, str))
        ):
            raise TypeError(f"record({name!r}, {value!r}, {unit!r}): expected a name, a number or a string, and a unit")
        if not isinstance(value, str) and not _is_finite(value):
            raise ValueError(f"record({name!r}, {shown(value)}): expected a finite number")
        self._wire.send({"kind": "record", **vars(Measurement(name, value, unit))})

    def _start_all(self) -> None:
        """Connect to every node, in parallel."""
        parallel(*[machine.start for machine in self._machines])

    def _join_all(self) -> None:
        """Wait until every machine is off."""
        for machine in self._machines:
            machine.wait_for_shutdown()

    def _retry(self, fn: t.Callable[[bool], bool], timeout_seconds: float = 900) -> None:
        try:
            self._deadline.retry(fn, timeout_seconds)
        except TriedLongEnough as error:
            raise RequestedAssertionFailed(error.message) from None

    def _polling_condition(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        self._calls.before = self._conditions.require
        return self._conditions.polling_condition(*args, **kwargs)

    @contextmanager
    def _subtest(self, name: str) -> t.Iterator[None]:
        """A part of the script with a result of its own."""
        self._say(f"subtest: {name}")
        start = time.monotonic()
        try:
            yield
        except BaseException as error:
            node = error.node if isinstance(error, ComposeError) else None
            self._tell(Check(f"{SCRIPT}: {name}", False, node, _message(error), time.monotonic() - start))
            raise
        self._tell(Check(f"{SCRIPT}: {name}", True, seconds=time.monotonic() - start, seen="ran to its end"))

    # -- how it went ---------------------------------------------------------------------------------------------

    def _failed(self, error: BaseException, seconds: float) -> Check:
        lines = _lines(traceback.walk_tb(error.__traceback__))
        details = located(self._text, lines)
        message = _message(error)
        if details.line is not None:
            message = f"line {details.line}: {details.source}\n{message}"
        if isinstance(error, TestScriptError) and error.command is not None:
            details = dataclasses.replace(
                details, command=error.command, returncode=error.returncode, output=error.output
            )
            tail = "\n".join(error.output.strip().splitlines()[-20:])
            if not message.endswith(tail):
                message = f"{message}\n{tail}"
        node = error.node if isinstance(error, ComposeError) else None
        return Check(SCRIPT, False, node, message, seconds, details)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no floating-point number comes near
        return False


def located(text: str, lines: t.Sequence[int]) -> CheckDetails:
    """Where in a script something happened.

    :param lines: numbers of the lines that led there, the outermost first; empty if nobody knows.
    """
    if not lines:
        return CheckDetails()
    return CheckDetails(lines[-1], text.splitlines()[lines[-1] - 1].strip(), list(lines[:-1]))


def parallel(*functions: t.Callable[[], t.Any]) -> list[t.Any]:
    """Call functions at the same time and return their results in that order, once all have ended.

    :raises Exception: that of the first function, in the order given, that failed.
    """
    from concurrent.futures import ThreadPoolExecutor  # takes a while to load, which few scripts need

    if not functions:
        return []
    with ThreadPoolExecutor(max_workers=min(64, len(functions))) as pool:
        futures = [pool.submit(function) for function in functions]
    return [future.result() for future in futures]


class _Lines(io.TextIOBase):
    """Standard output of the script, line by line."""

    def __init__(self, say: t.Callable[[str], None]) -> None:
        self._say = say
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in filter(None, lines):
            self._say(line)
        return len(text)

    def close(self) -> None:
        self.write("\n")
        super().close()


class _Log:
    """``log.info(…)`` and its like."""

    def __init__(self, say: t.Callable[[str], None], subtest: t.Callable[[str], t.ContextManager[None]]) -> None:
        self._say = say
        self.subtest = subtest

    def info(self, message: object, *_args: t.Any, **_attributes: t.Any) -> None:
        """Tell the user a line. NixOS's driver passes over further arguments, too."""
        self._say(str(message))

    log = debug = warning = log_test_error = info

    def error(self, message: object, *_args: t.Any, **_attributes: t.Any) -> t.NoReturn:
        """Tell the user a line, and end the script, as NixOS's driver does."""
        self._say(str(message))
        raise SystemExit(str(message))

    @contextmanager
    def nested(self, message: str, attributes: t.Mapping[str, str] | None = None) -> t.Iterator[None]:
        """Tell the user what the body is about."""
        self.info(message)
        yield


class _Assertions:
    """A ``unittest.TestCase``, loaded by the first script line that uses it."""

    def __getattr__(self, name: str) -> t.Any:
        import unittest

        case = type("AssertionTester", (unittest.TestCase,), {"failureException": RequestedAssertionFailed})
        return getattr(case(), name)


def _nothing() -> None:
    """Consoles are not shown anyway."""


def _lines(frames: t.Iterable[tuple[FrameType, int]]) -> list[int]:
    """Lines of the script in these frames, the outermost first."""
    return [number for frame, number in frames if frame.f_code.co_filename == SCRIPT]


def _message(error: BaseException) -> str:
    if isinstance(error, ComposeError):
        return error.message
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
