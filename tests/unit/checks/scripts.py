"""Runs test scripts on stand-ins for nodes: real shells behind a real SSH server, whose machines can be switched."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

from ansible_collections.immutable.compose.plugins.module_utils.checks.console import Console
from ansible_collections.immutable.compose.plugins.module_utils.checks.deadline import Deadline
from ansible_collections.immutable.compose.plugins.module_utils.checks.hands import Hands
from ansible_collections.immutable.compose.plugins.module_utils.checks.machine import Machine
from ansible_collections.immutable.compose.plugins.module_utils.checks.script_process import ScriptProcess
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.report import Check
from ansible_collections.immutable.compose.plugins.module_utils.nodes.connection import Connection
from ansible_collections.immutable.compose.plugins.module_utils.nodes.endpoint import Endpoint
from ansible_collections.immutable.compose.plugins.module_utils.platforms.hands import HasCable, HasKeyboard, HasPower
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import NODE, Server

CONSOLE = "Linux version 6.1\n[  OK  ] Reached target Multi-User System.\n"


def make(
    connection: Connection,
    results: Path,
    said: list[str],
    *,
    seconds: float = 300,
    name: str = NODE,
    console: t.Callable[[int], str] = lambda lines: "\n".join(CONSOLE.splitlines()[-lines:]),
    hands: Hands | None = None,
) -> Machine:
    return Machine(
        name,
        connection,
        Deadline(seconds),
        console=Console(console),
        hands=hands or t.cast(Hands, SimpleNamespace(is_known_off=lambda _name: False)),
        boot_timeout=60,
        results=str(results),
        say=said.append,
    )


def run(text: str, *machines: Machine, seconds: float = 300, progress: str | None = None) -> list[Check]:
    with ScriptProcess(Progress(progress)) as process:
        return process.run(text, machines, Deadline(seconds), {})


@dataclass
class Notes:
    """In place of who puts things back if the run is killed."""

    noted: list[str] = field(default_factory=list)
    dismissed: bool = False

    def note(self, node: str) -> None:
        self.noted.append(node)

    def dismiss(self) -> None:
        self.dismissed = True


class Machines(HasPower, HasCable, HasKeyboard):
    """A platform with one machine, which is the SSH server."""

    name = "stand-in"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.server: Server | None = Server(directory)
        self.port = self.server.port
        self.server.program("ip", f"echo $* >>{directory}/routes")  # that of this host stays as it is
        self.deployment = Deployment(
            name="demo", composition="", builder="debian", platform="none", nodes=(Node(NODE, "server"),)
        )
        #: What was done, in order.
        self.done: list[str] = []

    def connection(self) -> Connection:
        assert self.server is not None
        return self.server.connection()

    def endpoint(self, node: Node) -> Endpoint:
        return Endpoint("127.0.0.1", self.port)

    def is_on(self, node: Node) -> bool:
        return self.server is not None and self.server.process.poll() is None

    def turn_on(self, node: Node) -> None:
        if not self.is_on(node):
            self.done.append("on")
            self.server = Server(self.directory, port=self.port, tied=False)  # by a thread of a script

    def turn_off(self, node: Node, *, hard: bool) -> None:
        self.done.append("off, hard" if hard else "off")
        self.stop()

    def plug(self, node: Node, *, plugged: bool) -> None:
        self.done.append("in" if plugged else "out")

    def way_around(self, node: Node) -> Endpoint:
        return self.endpoint(node)

    def type_text(self, node: Node, text: str) -> None:
        self.done.append(text)

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop()
            self.server = None
