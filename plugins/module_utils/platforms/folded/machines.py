# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines that nodes are folded onto: nodes of another deployment, reached as that reaches them. PRIVATE."""

from __future__ import annotations

import os
import shlex
import typing as t
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from ...describe.held import HeldAddresses
from ...errors import CommandError, ComposeError
from ...nodes.connection import connect
from ...nodes.endpoint import Endpoint
from ...nodes.keys import Keys, endpoints
from ...progress import Progress, listed
from . import scripts

if t.TYPE_CHECKING:
    from ...nodes.connection import Connection

#: Machines that are worked on at the same time.
PARALLEL = 16
#: Seconds for a machine to answer at all, for a question, and for a command. What it reads may take longer.
REACH, QUESTION, COMMAND = 15.0, 60.0, 300.0
#: Bytes of an image that are in memory.
_PIECE = 1 << 20


@dataclass
class Answer:
    """What a machine says of itself, and of a deployment's nodes."""

    architecture: str = ""
    #: What is needed and is not there: programs, and what its kernel cannot do as ``kernel:WHAT``.
    lacks: list[str] = field(default_factory=list)
    #: Whether it can mount a squashfs; else it unpacks it.
    mounts: bool = False
    #: KiB of memory, of what is available of it, and of room for images.
    total: int = 0
    available: int = 0
    free: int = 0
    #: Whether there is anything of the deployment.
    there: bool = False
    #: Identities of images.
    staged: list[str] = field(default_factory=list)
    #: Nodes that run → identity of their image.
    nodes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> Answer:
        """What :data:`.scripts.NEEDS` prints. :raises ValueError: something else."""
        answer = cls()
        for line in text.splitlines():
            key, _space, value = line.partition(" ")
            if key in ("total", "available", "free"):
                setattr(answer, key, int(value))
            elif key in ("lacks", "staged"):
                getattr(answer, key).append(value)
            elif key in ("mounts", "there"):
                setattr(answer, key, True)
            elif key == "node":
                name, _space, identity = value.partition(" ")
                answer.nodes[name] = identity
            elif key == "architecture":
                answer.architecture = value
        return answer


class Machine:
    """One machine.

    :param own: the name that all things of the folded deployment have there.
    """

    def __init__(self, name: str, address: str, own: str, connection: Connection) -> None:
        self.name = name
        self.address = address
        self._own = own
        self._connection = connection

    def ask(self, script: str) -> Answer:
        """:raises ComposeError: it does not answer."""
        self._connection.open(REACH)
        return Answer.read(self.do("asking", script, timeout=QUESTION))

    def do(
        self,
        what: str,
        script: str,
        *arguments: str,
        data: bytes | t.Iterable[bytes] = b"",
        timeout: float = COMMAND,
    ) -> str:
        """Run a script as root; its standard output.

        :param what: the script, in words.
        :raises ComposeError: with exit code and last lines.
        """
        command = shlex.join(["sh", "-c", script, "compose", self._own, *arguments])
        done = self._connection.feed(command, data, timeout)
        said = done.stdout.decode("utf-8", "replace")
        if done.returncode != 0:
            words = done.stderr.decode("utf-8", "replace") or said
            raise CommandError(f"{what} on machine {self.name}", done.returncode, words)
        return said

    def bring(self, identity: str, path: str) -> None:
        """Have an image there. :param path: of its squashfs."""
        with open(path, "rb") as stream:
            pieces = iter(partial(stream.read, _PIECE), b"")
            size = str(os.path.getsize(path))
            self.do(f"staging {identity}", scripts.STAGE, identity, size, data=pieces)

    def close(self) -> None:
        self._connection.close()


class Machines:
    """By name, as far as the deployment that has them knows them.

    :param state: its state directory.
    :param own: see :class:`Machine`.
    """

    def __init__(self, state: str, own: str, progress: Progress) -> None:
        self._state = state
        self._own = own
        self._progress = progress
        self._machines: dict[str, Machine] = {}
        self._reach: dict[str, Endpoint] = {}
        with suppress(FileNotFoundError), open(self.ssh_config, encoding="utf-8") as stream:
            self._reach = endpoints(stream.read())
        #: Machine → its address, of those that were verified and exist.
        self.addresses = {
            name: address for name, address in HeldAddresses.read(state).verified().items() if name in self._reach
        }
        #: What each machine said when it was asked last.
        self.answers: dict[str, Answer] = {}
        #: Why those did not that were asked and said nothing.
        self.why: dict[str, str] = {}

    @property
    def ssh_config(self) -> str:
        """For the way to them."""
        return Keys(self._state).ssh_config_file

    def __getitem__(self, name: str) -> Machine:
        """:raises ComposeError: there is no such machine."""
        if name not in self._machines:
            if name not in self.addresses:
                raise ComposeError(f"machine {name!r} does not exist")
            connection = connect(name, self._reach[name], Keys(self._state))
            self._machines[name] = Machine(name, self.addresses[name], self._own, connection)
        return self._machines[name]

    def ask(self, names: t.Iterable[str], script: str = scripts.LOOK) -> None:
        """Ask all of these that exist."""

        def ask(name: str) -> None:
            self.answers.pop(name, None)
            self.why.pop(name, None)
            try:
                self.answers[name] = self[name].ask(script)
            except (ComposeError, ValueError) as error:
                self.why[name] = error.message if isinstance(error, ComposeError) else f"unexpected answer: {error}"

        self.each("asking", ask, [name for name in names if name in self.addresses])

    def each(self, what: str, act: t.Callable[[str], object], names: t.Collection[str]) -> None:
        """Do something with each of these machines at once. :raises ComposeError: the first that fails."""
        if names:
            waiting = self._progress.waiting(lambda: f"{what}: machines {listed(sorted(names))}")
            with waiting, ThreadPoolExecutor(max_workers=min(PARALLEL, len(names))) as pool:
                list(pool.map(act, names))
