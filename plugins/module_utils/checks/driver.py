# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the test script of a composition, in a process that does nothing else. PRIVATE to the collection.

It has neither connections nor keys: what machines are asked for is done by the process that started this one
(:mod:`.script_process`).
"""

from __future__ import annotations

import builtins
import dataclasses
import io
import os
import signal
import socket
import sys
import threading
import time
import traceback
import typing as t
import weakref
from contextlib import contextmanager, suppress
from types import FrameType

from ..describe.names import label_of
from ..errors import ComposeError
from ..model.report import Check, CheckDetails
from ..progress import listed
from .deadline import Deadline
from .script import METHODS, SCRIPT, compiled, variables
from .wire import Fault, Script, Wire


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


class NodeError(ComposeError):
    """A method of a machine failed."""

    def __init__(self, fault: Fault) -> None:
        self.command = fault.command
        self.returncode = fault.returncode
        self.output = fault.output
        super().__init__(fault.message, node=fault.node)


class Calls:
    """The way to the nodes, for each thread its own.

    A copy of this process has none: two would take each other's answers.
    """

    def __init__(self, door: socket.socket) -> None:
        #: Nodes that have answered.
        self.answered: set[str] = set()
        self._door = door
        self._own = threading.local()
        self._all: weakref.WeakSet[Wire] = weakref.WeakSet()
        os.register_at_fork(after_in_child=self._drop)

    def call(self, node: str, method: str, args: t.Sequence[t.Any], kwargs: t.Mapping[str, t.Any]) -> t.Any:
        """:raises NodeError: what was asked for is not so, or the node cannot be reached."""
        wire: Wire = getattr(self._own, "wire", None) or self._open()
        try:
            wire.send({"node": node, "method": method, "args": args, "kwargs": kwargs})
            answer = wire.receive()
        except OSError:
            answer = None
        if answer is None:
            raise RuntimeError("a copy of the test script's process cannot use its machines")
        if "fault" in answer:
            fault = Fault(**answer["fault"])
            raise _exception(fault) or NodeError(fault)
        self.answered.add(node)
        value = answer["value"]
        return tuple(value) if isinstance(value, list) else value

    def _open(self) -> Wire:
        ours, theirs = socket.socketpair()
        with theirs, suppress(OSError):
            socket.send_fds(self._door, [b"."], [theirs.fileno()])
        self._own.wire = wire = Wire(ours)
        self._all.add(wire)
        return wire

    def _drop(self) -> None:
        self._door.close()
        for wire in self._all:
            wire.drop()


class Machine:
    """One node; its methods are those of :class:`.machine.Machine`."""

    def __init__(self, name: str, role: str, calls: Calls) -> None:
        self.name = name
        self.role = role
        self._calls = calls

    def __repr__(self) -> str:
        return f"<Machine {self.name!r}>"

    def __getattr__(self, name: str) -> t.Callable[..., t.Any]:
        if name not in METHODS:
            raise AttributeError(f"machines have no {name!r} here")

        def method(*args: t.Any, **kwargs: t.Any) -> t.Any:
            return self._calls.call(self.name, name, args, kwargs)

        self.__dict__[name] = method
        return method

    def copy_from_host(self, source: str, target: str) -> None:
        """Copy a file or directory of this host; a relative path is the script's."""
        self._calls.call(self.name, "copy_from_host", (os.path.abspath(source), target), {})


class Machines(list[Machine]):
    """The nodes in the order of their names, as in NixOS's driver; ``machines["name"]`` is the node of that name."""

    def __getitem__(self, key: t.Any) -> t.Any:
        if not isinstance(key, str):
            return super().__getitem__(key)
        for machine in self:
            if machine.name in (key, label_of(key)):
                return machine
        raise KeyError(key)


class _Run:
    """One run of a test script."""

    def __init__(self, wire: Wire, calls: Calls, script: Script) -> None:
        self._wire = wire
        self._calls = calls
        self._text = script.text
        self._deadline = Deadline(script.left, script.seconds)
        self._machines = Machines(Machine(name, role, calls) for name, role in script.nodes.items())
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
            "log": _Log(self._say),
            "machines": self._machines,
            "os": os,
            "parallel": parallel,
            "retry": self._deadline.retry,
            "start_all": self._start_all,
            "subtest": self._subtest,
            "t": _Assertions(),
        }
        nodes = variables((machine.name for machine in self._machines), self._text)
        return {"__name__": SCRIPT, **general, **{key: self._machines[name] for key, name in nodes.items()}}

    def _start_all(self) -> None:
        """Connect to every node, in parallel."""
        parallel(*[machine.start for machine in self._machines])

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
        if isinstance(error, NodeError) and error.command is not None:
            details = dataclasses.replace(
                details, command=error.command, returncode=error.returncode, output=error.output
            )
            tail = "\n".join(error.output.strip().splitlines()[-20:])
            if not message.endswith(tail):
                message = f"{message}\n{tail}"
        node = error.node if isinstance(error, ComposeError) else None
        return Check(SCRIPT, False, node, message, seconds, details)


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

    def __init__(self, say: t.Callable[[str], None]) -> None:
        self.log = self.info = self.warning = self.error = say


class _Assertions:
    """A ``unittest.TestCase``, loaded by the first script line that uses it."""

    def __getattr__(self, name: str) -> t.Any:
        import unittest

        return getattr(unittest.TestCase(), name)


def _lines(frames: t.Iterable[tuple[FrameType, int]]) -> list[int]:
    """Lines of the script in these frames, the outermost first."""
    return [number for frame, number in frames if frame.f_code.co_filename == SCRIPT]


def _exception(fault: Fault) -> Exception | None:
    kind = getattr(builtins, fault.builtin, None) if fault.builtin else None
    return kind(fault.message) if isinstance(kind, type) and issubclass(kind, Exception) else None


def _message(error: BaseException) -> str:
    if isinstance(error, ComposeError):
        return error.message
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
