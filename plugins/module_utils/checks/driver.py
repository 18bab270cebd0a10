# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the test script of a composition. PRIVATE to the collection."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
import traceback
import typing as t
import unittest
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import replace
from types import FrameType

from ..describe.names import label_of
from ..errors import CommandError, ComposeError
from ..model.report import Check, CheckDetails
from ..progress import Progress
from .deadline import Deadline, DeadlineError
from .machine import CheckFailed, Machine
from .report import SCRIPT
from .script import compiled, dedent, variables

#: Seconds after the deadline until a script that does not even ask for the time is left to itself.
PATIENCE = 5.0


class Machines(list[Machine]):
    """The nodes in the order of their names, as in NixOS's driver; ``machines["name"]`` is the node of that name."""

    def __getitem__(self, key: t.Any) -> t.Any:
        if not isinstance(key, str):
            return super().__getitem__(key)
        for machine in self:
            if machine.name in (key, label_of(key)):
                return machine
        raise KeyError(key)


class TestScript:
    """One run of a test script.

    :param machines: all nodes of the deployment.
    """

    __test__ = False  # not for pytest

    def __init__(self, text: str, machines: t.Iterable[Machine], deadline: Deadline, progress: Progress) -> None:
        self._text = dedent(text)
        self._machines = Machines(sorted(machines, key=lambda machine: machine.name))
        self._deadline = deadline
        self._progress = progress
        self._checks: list[Check] = []

    def run(self) -> list[Check]:
        """Run the script to its end or the deadline: one result for each subtest, and one for the script."""
        failure: list[BaseException] = []

        def work() -> None:
            try:
                exec(compiled(self._text, SCRIPT)[0], self._symbols())
            except BaseException as error:  # SystemExit included: a script must not end the run
                failure.append(error)

        start = time.monotonic()
        # A thread of its own: nothing else can leave a script behind that never looks at the time.
        worker = threading.Thread(target=work, daemon=True)
        doing = self._progress.waiting(lambda: f"test script: {self._doing(worker)}")
        with doing, closing(_Lines(self._progress.say)) as output, redirect_stdout(output):
            worker.start()
            worker.join(self._left() + PATIENCE)
        seconds = time.monotonic() - start
        if worker.is_alive():
            check = self._failed(self._deadline.over(), self._lines_of(worker), seconds)
        elif failure:
            check = self._failed(failure[0], _lines(traceback.walk_tb(failure[0].__traceback__)), seconds)
        else:
            check = Check(SCRIPT, True, seconds=seconds)
        return [*self._checks, check]

    def _left(self) -> float:
        try:
            return self._deadline.left()
        except DeadlineError:  # as the first thing that the script does is going to say
            return 0.0

    # -- what the script finds defined ---------------------------------------------------------------------------

    def _symbols(self) -> dict[str, t.Any]:
        general = {
            "log": _Log(self._progress.say),
            "machines": self._machines,
            "os": os,
            "parallel": parallel,
            "retry": self._deadline.retry,
            "start_all": self._start_all,
            "subtest": self._subtest,
            "t": unittest.TestCase(),
        }
        nodes = variables((machine.name for machine in self._machines), self._text)
        return {"__name__": SCRIPT, **general, **{key: self._machines[name] for key, name in nodes.items()}}

    def _start_all(self) -> None:
        """Connect to every node, in parallel."""
        parallel(*[machine.start for machine in self._machines])

    @contextmanager
    def _subtest(self, name: str) -> t.Iterator[None]:
        """A part of the script with a result of its own."""
        self._progress.say(f"subtest: {name}")
        start = time.monotonic()
        try:
            yield
        except BaseException as error:
            node = error.node if isinstance(error, ComposeError) else None
            self._checks.append(
                Check(f"{SCRIPT}: {name}", False, node, _message(error), seconds=time.monotonic() - start)
            )
            raise
        self._checks.append(Check(f"{SCRIPT}: {name}", True, seconds=time.monotonic() - start))

    # -- how it went ---------------------------------------------------------------------------------------------

    def _failed(self, error: BaseException, lines: list[int], seconds: float) -> Check:
        details = CheckDetails()
        message = _message(error)
        if lines:
            source = self._text.splitlines()[lines[-1] - 1].strip()
            message = f"line {lines[-1]}: {source}\n{message}"
            details = CheckDetails(lines[-1], source, lines[:-1])
        if isinstance(error, (CheckFailed, CommandError)):
            details = replace(details, command=error.command, returncode=error.returncode, output=error.output)
            tail = "\n".join(error.output.strip().splitlines()[-20:])
            if isinstance(error, CheckFailed) and tail:
                message = f"{message}\n{tail}"
        node = error.node if isinstance(error, ComposeError) else None
        return Check(SCRIPT, False, node, message, seconds, details)

    def _lines_of(self, worker: threading.Thread) -> list[int]:
        frame = sys._current_frames().get(worker.ident or 0)
        return _lines(reversed(list(traceback.walk_stack(frame)))) if frame is not None else []

    def _doing(self, worker: threading.Thread) -> str:
        lines = self._lines_of(worker)
        busy = [f"{machine.name}: {machine.doing}" for machine in self._machines if machine.doing]
        more = f" and {len(busy) - 3} more" if len(busy) > 3 else ""
        return (f"line {lines[-1]}" if lines else "starting") + (f", {'; '.join(busy[:3])}{more}" if busy else "")


def parallel(*functions: t.Callable[[], t.Any]) -> list[t.Any]:
    """Call functions at the same time and return their results in that order, once all have ended.

    :raises Exception: that of the first function, in the order given, that failed.
    """
    if not functions:
        return []
    with ThreadPoolExecutor(max_workers=min(64, len(functions))) as pool:
        futures = [pool.submit(function) for function in functions]
    return [future.result() for future in futures]


class _Lines(io.TextIOBase):
    """Standard output of the script, line by line; that of the process belongs to Ansible."""

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


class _Log:
    """``log.info(…)`` and its like."""

    def __init__(self, say: t.Callable[[str], None]) -> None:
        self.log = self.info = self.warning = self.error = say


def _lines(frames: t.Iterable[tuple[FrameType, int]]) -> list[int]:
    """Lines of the script in these frames, the outermost first."""
    return [number for frame, number in frames if frame.f_code.co_filename == SCRIPT]


def _message(error: BaseException) -> str:
    if isinstance(error, ComposeError):
        return error.message
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
