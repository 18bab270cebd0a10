# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines as a test script has them: each call goes to the process that has the nodes. PRIVATE to the collection."""

from __future__ import annotations

import os
import socket
import threading
import typing as t
import weakref
from contextlib import contextmanager, suppress
from pathlib import Path

from ..describe.names import label_of
from .raised import exception
from .script import METHODS
from .wire import Fault, Wire


class Calls:
    """The way to the nodes, for each thread its own.

    A copy of this process has none: two would take each other's answers.
    """

    def __init__(self, door: socket.socket) -> None:
        #: Nodes that have answered.
        self.answered: set[str] = set()
        #: Called before each command that a call takes, in the thread that calls; none by default.
        self.before: t.Callable[[], None] | None = None
        self._door = door
        self._own = threading.local()
        self._all: weakref.WeakSet[Wire] = weakref.WeakSet()
        os.register_at_fork(after_in_child=self._drop)

    def call(self, node: str, method: str, args: t.Sequence[t.Any], kwargs: t.Mapping[str, t.Any]) -> t.Any:
        """:raises TestScriptError: what was asked for is not so, or the node cannot be reached."""
        free: list[Wire] = self._own.__dict__.setdefault("free", [])
        # One that waits for an answer is busy: a condition that is polled meanwhile has another.
        wire = free.pop() if free else self._open()
        before = self.before
        call = {"node": node, "method": method, "args": args, "kwargs": kwargs, "polled": before is not None}
        stopped = None
        try:
            wire.send(call)
            answer = wire.receive()
            while answer is not None and "poll" in answer:
                try:
                    if before is not None:
                        before()
                except Exception as error:
                    stopped = error
                wire.send({"go": stopped is None})
                answer = wire.receive()
        except OSError:
            answer = None
        if answer is None:
            raise RuntimeError("a copy of the test script's process cannot use its machines")
        free.append(wire)
        if stopped is not None:
            raise stopped
        if "fault" in answer:
            raise exception(Fault(**answer["fault"]))
        self.answered.add(node)
        value = answer["value"]
        return tuple(value) if isinstance(value, list) else value

    def _open(self) -> Wire:
        ours, theirs = socket.socketpair()
        with theirs, suppress(OSError):
            socket.send_fds(self._door, [b"."], [theirs.fileno()])
        wire = Wire(ours)
        self._all.add(wire)
        return wire

    def _drop(self) -> None:
        self._door.close()
        for wire in self._all:
            wire.drop()


class Machine:
    """One node; its methods are those of :class:`.machine.Machine`.

    :param out_dir: of the result files; by default the working directory, as in NixOS's driver.
    """

    def __init__(self, name: str, role: str, calls: Calls, say: t.Callable[[str], None], out_dir: str = "") -> None:
        self.name = name
        self.role = role
        self.out_dir = Path(out_dir or os.getcwd())
        self._calls = calls
        self._say = say

    def __repr__(self) -> str:
        return f"<Machine {self.name!r}>"

    def __getattr__(self, name: str) -> t.Callable[..., t.Any]:
        if name not in METHODS:
            raise AttributeError(f"machines have no {name!r} here")

        def method(*args: t.Any, **kwargs: t.Any) -> t.Any:
            return self._calls.call(self.name, name, args, kwargs)

        self.__dict__[name] = method
        return method

    @property
    def connected(self) -> bool:
        """As :meth:`.machine.Machine.is_up`."""
        return bool(self.is_up())

    @connected.setter
    def connected(self, value: bool) -> None:
        """For NixOS's driver, which has to be told that a connection has ended."""

    booted = connected

    def copy_from_host(self, source: str, target: str) -> None:
        """Copy a file or directory of this host; a relative path is the script's."""
        self._calls.call(self.name, "copy_from_host", (os.path.abspath(source), target), {})

    copy_from_host_via_shell = copy_from_host

    @contextmanager
    def nested(self, msg: str, attrs: t.Mapping[str, str] | None = None) -> t.Iterator[None]:
        """Tell the user what the body is about. :param attrs: for NixOS's driver, whose log has them."""
        self._say(f"{self.name}: {msg}")
        yield


class Machines(list[Machine]):
    """The nodes in the order of their names, as in NixOS's driver; ``machines["name"]`` is the node of that name."""

    def __getitem__(self, key: t.Any) -> t.Any:
        if not isinstance(key, str):
            return super().__getitem__(key)
        for machine in self:
            if machine.name in (key, label_of(key)):
                return machine
        raise KeyError(key)
