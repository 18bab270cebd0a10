# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test script's process and the one that has the nodes say to each other. PRIVATE to the collection.

JSON objects, one in a line, over sockets. Each thread of the script that calls machines has some of its own for that,
on which a :class:`Call` and its answer follow each other (``value``, or a :class:`Fault` as ``fault``; tuples have
become lists), with ``poll`` and ``go`` in between where conditions are polled: nobody has to hand anything on. On the
first socket ``kind`` says what a message is:

=============  ==================================================================================
of the script  ``say`` (``text``), ``check`` (a :class:`~.report.Check`), ``record`` (a
               :class:`~.report.Measurement`), ``at`` (``lines``), ``end``
to it          ``script`` (:class:`Script`), ``where`` (which line is it at?)
=============  ==================================================================================

The sockets of the threads come through another one, which carries nothing else.

The script's process loads this before anything else: no library that takes long.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import typing as t
from dataclasses import dataclass, field

#: Kinds of :class:`Fault` that Python does not have: what was asked for is not so; something else went wrong.
ASKED, MACHINE = "RequestedAssertionFailed", "MachineError"

#: Bytes of a line.
LONGEST = 64 << 20


@dataclass(frozen=True)
class Script:
    """What is to be run."""

    text: str
    #: Node → its role, in the order of ``machines``.
    nodes: t.Mapping[str, str]
    #: Seconds until the end of the verification, and how many there were at its beginning.
    left: float
    seconds: float
    #: Variable → value, besides those that every script has.
    values: t.Mapping[str, t.Any] = field(default_factory=dict)
    #: Directory of the result files; empty: there is none.
    results: str = ""


@dataclass(frozen=True)
class Call:
    """A method of a machine."""

    node: str
    method: str
    args: t.Sequence[t.Any] = ()
    kwargs: t.Mapping[str, t.Any] = field(default_factory=dict)
    #: Before each command that it takes, it says ``poll``, and goes on only if the answer is ``go``.
    polled: bool = False


@dataclass(frozen=True)
class Fault:
    """Why a method failed."""

    #: Name of a kind of exception: of NixOS's driver, or of Python.
    kind: str
    message: str
    node: t.Optional[str] = None  # noqa: UP045 - read at run time
    command: t.Optional[str] = None  # noqa: UP045
    returncode: t.Optional[int] = None  # noqa: UP045
    output: str = ""


class Wire:
    """One end of a socket. Safe to write to from several threads, and to read from one at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._lines = sock.makefile("rb")
        self._writing = threading.Lock()

    def drop(self) -> None:
        """Have no part in it any more, also where somebody still waits for a message; others may go on."""
        os.close(self.socket.detach())

    def send(self, message: t.Mapping[str, t.Any]) -> None:
        """What JSON does not know, such as a path, is sent as it is printed.

        :raises OSError: nobody is at the other end.
        """
        line = json.dumps(message, default=str).encode() + b"\n"
        with self._writing:
            self.socket.sendall(line)

    def receive(self) -> dict[str, t.Any] | None:
        """The next message; ``None`` if there is none any more. :raises ValueError: it is none."""
        try:
            line = self._lines.readline(LONGEST)
        except OSError:
            return None
        if not line:
            return None
        message = json.loads(line)
        if not isinstance(message, dict):
            raise ValueError("expected an object")
        return message
