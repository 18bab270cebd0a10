# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platforms of this host whose nodes are processes that the collection itself starts. PRIVATE to the collection.

What runs is asked of ``/proc``.
"""

from __future__ import annotations

import os
import re
import typing as t
import uuid
from abc import abstractmethod
from contextlib import suppress

from ...errors import ComposeError
from ...model.boot import Boot
from . import machine
from .platform import LocalPlatform

#: A file of a state directory, in an option.
_PLACE = re.compile(r"=(?P<state>/[^=]*)/(?:nodes|images)/")


class ProcessPlatform(LocalPlatform):
    """A node is a process."""

    #: Base names that a node's process may have.
    programs: t.ClassVar[tuple[str, ...]]
    #: Seconds for a started process to have set itself up (not: for the node to answer).
    start_deadline: t.ClassVar[float] = 20

    @abstractmethod
    def command(self, name: str, record: Boot) -> list[str]:
        """Prepare what the node needs (network, volumes) and return the command that is its process.

        The command has :meth:`marker` as an argument, or as the value of an option.
        """

    @abstractmethod
    def is_up(self, name: str, pid: int) -> bool:
        """Whether the process has set itself up: from now on only the node itself can fail."""

    @abstractmethod
    def shut_down(self, name: str, handle: int, seconds: int) -> bool:
        """Ask the node to shut down in good order; whether it did within so many seconds."""

    def keyboard(self, name: str) -> str | None:
        """The pipe that is the standard input of the node's process, if it has one: what is typed on its console."""
        return None

    def marker(self, name: str) -> str:
        """What makes the node's process known: a UUID made of its state directory and its name."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.state}/{name}"))

    @property
    def kind(self) -> machine.Kind:
        """Whose processes are nodes: those of whoever runs this, of root, and of whose state this is."""
        owners = {0, os.geteuid()}
        with suppress(FileNotFoundError):
            owners.add(os.stat(self.state).st_uid)
        return machine.Kind(self.programs, owners)

    def running(self, names: t.Iterable[str]) -> dict[str, int]:
        markers = {self.marker(name): name for name in names}
        return {markers[marker]: pid for marker, pid in machine.find(markers, self.kind).items()}

    def places(self) -> set[str]:
        found = (_PLACE.search(argument) for command in machine.commands(self.kind) for argument in command)
        return {match["state"] for match in found if match}

    def start(self, name: str, record: Boot) -> None:
        command = self.command(name, record)
        console = self.node_state(name).console
        machine.start(
            command,
            console,
            ready=lambda pid: self.is_up(name, pid),
            deadline=self.start_deadline,
            keyboard=self.keyboard(name),
        )

    def halt(self, name: str, pid: int, seconds: int, step: str) -> None:
        with machine.handle(pid, self.marker(name), self.kind) as handle:
            if handle is not None and not self.shut_down(name, handle, seconds):
                self.progress.say(f"{step} {name}: does not stop, killing it")
                _kill(pid, handle)

    def cut_power(self, name: str, pid: int) -> None:
        with machine.handle(pid, self.marker(name), self.kind) as handle:
            if handle is not None:
                _kill(pid, handle)


def _kill(pid: int, handle: int) -> None:
    if not machine.kill(pid, handle, 10):
        raise ComposeError(f"its process {pid} does not end even when it is killed")
