# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process of a test script, seen from the one that has the nodes. PRIVATE to the collection.

A script is somebody's program: it may leave processes and threads behind, change how signals are handled, close its
output or never look at the time. None of it concerns a run whose locks, connections and secrets it does not have.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
import typing as t
from contextlib import suppress
from types import MappingProxyType, TracebackType

from ..errors import CommandError, ComposeError
from ..model import codec
from ..model.free import Parameters
from ..model.report import Check, Measurement
from ..process import ends
from ..progress import Progress
from . import driver, launch
from .commands import BEFORE, CheckFailed
from .deadline import Deadline, DeadlineError
from .machine import Machine
from .script import METHODS, SCRIPT, dedent
from .wire import ASKED, MACHINE, Call, Fault, Script, Wire

#: Seconds after the deadline until a script that does not even ask for the time is ended.
PATIENCE = 5.0
#: Seconds after which it is looked again whether machines run on which the script waits for something.
LOOK = 10.0
#: Seconds for the script's process to say which line it is at, and to end after its last word.
ANSWER = 1.0


class ScriptProcess:
    """A process that runs one test script; it is started before it is needed, since that takes a while."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        #: What the script has reported.
        self.records: list[Measurement] = []
        ours, its = socket.socketpair()
        self._door, its_door = socket.socketpair()
        self._wire = Wire(ours)
        with its, its_door:
            sockets = [its.fileno(), its_door.fileno()]
            self._process = subprocess.Popen(  # pylint: disable=ansible-bad-function; run_command waits for the end
                launch.command(driver.__name__, *sockets),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=sockets,
                start_new_session=True,
            )
        self._output = threading.Thread(target=self._tell_output, daemon=True)
        self._output.start()

    def __enter__(self) -> ScriptProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it, and all that is in its process group."""
        if self._process.returncode is None:
            _kill(self._process)
        self._output.join(ANSWER)  # to the last line; but a program that left the group may keep it open
        self._wire.socket.close()
        self._door.close()

    def run(
        self,
        text: str,
        machines: t.Iterable[Machine],
        deadline: Deadline,
        values: Parameters = MappingProxyType({}),
        results: str = "",
    ) -> list[Check]:
        """Run the script to its end or the deadline: one result for each subtest, and one for the script.

        :param machines: all nodes of the deployment.
        :param values: variables of the script, besides those that each has; none by default.
        :param results: directory of the result files, where the script may put some of its own.
        """
        by_name = {machine.name: machine for machine in sorted(machines, key=lambda machine: machine.name)}
        threading.Thread(target=_let_in, args=[self._door, by_name], daemon=True).start()
        run = _Run(dedent(text), by_name, deadline, self._wire, self._process, self._progress)
        checks = run.run(values, results)
        self.records = list(run.records)
        return checks

    def _tell_output(self) -> None:
        """What programs write that the script starts; it itself says its lines."""
        with t.cast("t.IO[bytes]", self._process.stdout) as stream:
            for line in iter(lambda: stream.readline(1 << 16), b""):
                self._progress.say(line.decode("utf-8", "replace").rstrip("\n"))


def _kill(process: subprocess.Popen[bytes]) -> int:
    """End a process and its group, which is known by its number as long as nobody has asked how it ended."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


class _Run:
    """One run of a script."""

    def __init__(
        self,
        text: str,
        machines: t.Mapping[str, Machine],
        deadline: Deadline,
        wire: Wire,
        process: subprocess.Popen[bytes],
        progress: Progress,
    ) -> None:
        self._text = text
        self._machines = machines
        self._deadline = deadline
        self._wire = wire
        self._process = process
        self._progress = progress
        self._checks: list[Check] = []
        self.records: list[Measurement] = []
        self._over = threading.Event()
        #: Lines that the script says it is at.
        self._lines: list[int] = []
        self._located = threading.Event()

    def run(self, values: Parameters, results: str) -> list[Check]:
        start = time.monotonic()
        left = self._left()
        nodes = {machine.name: machine.role for machine in self._machines.values()}
        with suppress(OSError):  # it has ended already, as is seen below
            self._wire.send(vars(Script(self._text, nodes, left, self._deadline.seconds, dict(values), results)))
        threading.Thread(target=self._listen, daemon=True).start()
        with self._progress.waiting(lambda: f"test script: {self._doing()}"):
            on_time = self._ends(left + PATIENCE)
        why = "" if on_time else self._deadline.over().message
        if not why and not any(check.name == SCRIPT for check in self._checks):
            why = f"its process ended before the script did ({self._ending()})"
        if why:
            details = driver.located(self._text, [] if on_time else self._where())
            message = f"line {details.line}: {details.source}\n{why}" if details.line is not None else why
            self._checks.append(Check(SCRIPT, False, None, message, time.monotonic() - start, details))
        return list(self._checks)

    def _ends(self, seconds: float) -> bool:
        """Whether the script ends within that time; it does not wait for machines that are off."""
        until = time.monotonic() + seconds
        while not self._over.wait(max(0.0, min(LOOK, until - time.monotonic()))):
            if time.monotonic() >= until:
                return False
            for machine in self._machines.values():
                with suppress(ComposeError, OSError):
                    machine.let_go()
        return True

    def _left(self) -> float:
        try:
            return self._deadline.left()
        except DeadlineError:  # as the first thing that the script does is going to say
            return 0.0

    def _ending(self) -> str:
        if not ends(self._process.pid, ANSWER):
            return "it closed a descriptor that is not the script's, or wrote to it"
        code = _kill(self._process)
        return f"exit code {code}" if code >= 0 else f"signal {-code}"

    # -- what the script says ------------------------------------------------------------------------------------

    def _listen(self) -> None:
        with suppress(ComposeError, KeyError, TypeError, ValueError):  # it writes to a descriptor that is not its own
            while self._take(self._wire.receive() or {"kind": "end"}):
                pass
        self._over.set()

    def _take(self, message: dict[str, t.Any]) -> bool:
        kind = str(message.pop("kind"))
        if kind == "say":
            self._progress.say(str(message["text"]))
        elif kind == "check":
            self._checks.append(codec.decode(Check, message, "check"))
        elif kind == "record":
            self.records.append(codec.decode(Measurement, message, "record"))
        elif kind == "at":
            self._lines = [int(number) for number in message["lines"]]
            self._located.set()
        return kind != "end"

    # -- what it is at -------------------------------------------------------------------------------------------

    def _where(self) -> list[int]:
        """Lines of the script that run, the outermost first; empty if its process does not say."""
        self._located.clear()
        with suppress(OSError):
            self._wire.send({"kind": "where"})
            if self._located.wait(ANSWER):
                return self._lines
        return []

    def _doing(self) -> str:
        lines = self._where()
        busy = [f"{machine.name}: {machine.doing}" for machine in self._machines.values() if machine.doing]
        more = f" and {len(busy) - 3} more" if len(busy) > 3 else ""
        return (f"line {lines[-1]}" if lines else "running") + (f", {'; '.join(busy[:3])}{more}" if busy else "")


# -- what its threads ask of the nodes -------------------------------------------------------------------------------


def _let_in(door: socket.socket, machines: t.Mapping[str, Machine]) -> None:
    """Serve each socket that comes through the door, until it is closed."""
    with suppress(OSError):
        while True:
            data, descriptors, _flags, _address = socket.recv_fds(door, 1, 1)
            for descriptor in descriptors:
                wire = Wire(socket.socket(fileno=descriptor))
                threading.Thread(target=_serve, args=[wire, machines], daemon=True).start()
            if not data:
                return


def _serve(wire: Wire, machines: t.Mapping[str, Machine]) -> None:
    """Answer one thread's calls, one after the other, as long as there are any."""
    with wire.socket, suppress(OSError, TypeError, ValueError):  # what is no call comes from nowhere else
        while True:
            message = wire.receive()
            if message is None:
                return
            wire.send(_answer(Call(**message), machines, wire))


class _Abandoned(Exception):
    """The script does not want it any more."""


def _answer(call: Call, machines: t.Mapping[str, Machine], wire: Wire) -> dict[str, t.Any]:
    def poll() -> None:
        wire.send({"poll": True})
        if not (wire.receive() or {}).get("go"):
            raise _Abandoned("a condition that is polled does not hold any more")

    BEFORE.set(poll if call.polled else _nothing)
    try:
        if call.method not in METHODS:
            raise ValueError(f"machines have no {call.method!r} here")
        return {"value": getattr(machines[call.node], call.method)(*call.args, **call.kwargs)}
    except CheckFailed as error:
        fault = Fault(ASKED, error.message, error.node, error.command, error.returncode, error.output)
    except CommandError as error:
        fault = Fault(MACHINE, error.message, error.node, error.command, error.returncode, error.output)
    except ComposeError as error:
        fault = Fault(MACHINE, error.message, error.node)
    except Exception as error:  # what Python says of the script's arguments is the script's to handle
        fault = Fault(type(error).__name__, str(error))
    return {"fault": vars(fault)}


def _nothing() -> None:
    """No condition is polled."""
