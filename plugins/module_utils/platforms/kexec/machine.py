# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that runs either a Linux of its own or a node, and scripts on it. PRIVATE to the collection.

The two have different users and host keys at the same address. OpenSSH's client tells which of them answers, and takes
what its user has configured for the machine.
"""

from __future__ import annotations

import os
import shlex
import time
import typing as t
from dataclasses import dataclass, fields

from ...errors import CommandError, ComposeError
from ...nodes.keys import Keys
from ...process import Completed, run
from . import scripts
from .answer import Answer

#: Exit code of ssh where no command was run.
UNREACHED = 255
#: Seconds for a question, and for a command (what it reads may take longer).
QUESTION, COMMAND = 60.0, 120.0
#: Seconds between two questions to a machine that is waited for.
POLL = 1.0

_OPTIONS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    "ControlPath=none",  # a kept connection would lead to the system before
    "ConnectTimeout=10",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=6",
)


@dataclass(frozen=True)
class Login:
    """How the machine's own Linux is reached, and the node once it runs."""

    host: str
    port: int
    user: str
    become: bool
    #: Private key and known_hosts; ``None``: those that ssh takes by itself.
    key: str | None
    known_hosts: str | None
    #: Of the node.
    ssh_port: int


def login_of(options: t.Mapping[str, t.Any]) -> Login:
    """What the options of a node say."""
    return Login(**{field.name: options[field.name] for field in fields(Login)})


class Machine:
    """One machine.

    :param node: the node's name.
    """

    def __init__(self, node: str, login: Login, keys: Keys) -> None:
        self.node = node
        self._login = login
        self._keys = keys
        #: Whether the node answered last, not the machine's own Linux.
        self._as_node = False
        #: Why nobody answered, in ssh's words.
        self.why = ""

    # -- asking --------------------------------------------------------------------------------------------------

    def ask(self) -> Answer | None:
        """What runs; ``None`` if nobody answers who has one of the two host keys.

        :raises ComposeError: it lets nobody become root.
        """
        whys = []
        for as_node in (self._as_node, not self._as_node):
            if as_node and not os.path.exists(self._keys.known_hosts_file):
                continue  # no node was ever started
            done = self._run(scripts.ASK, (), as_node=as_node, timeout=QUESTION)
            if done.returncode == 0:
                self._as_node = as_node
                return Answer.read(done.stdout)
            if done.returncode != UNREACHED:
                raise ComposeError(f"{self._login.user} cannot become root there: {_last(done)}", node=self.node)
            whys.append(_last(done))
        self.why = whys[-1] if self._as_node else whys[0]
        return None

    def wait(self, true: t.Callable[[Answer | None], bool], seconds: float, what: str) -> Answer | None:
        """Ask until the answer is what is waited for. :raises ComposeError: it is not, in time."""
        end = time.monotonic() + seconds
        while True:
            answer = self.ask()
            if true(answer):
                return answer
            if time.monotonic() > end:
                last = f"last: {self.why}" if answer is None else f"it runs {answer.runs}"
                raise ComposeError(f"{what}: not within {seconds:.0f} s; {last}", node=self.node)
            time.sleep(POLL)

    def wait_for_end(self, seconds: float) -> None:
        """Wait until the machine's own Linux has ended, which lets nobody in long before.

        :raises ComposeError: it has not, in time.
        """
        end = time.monotonic() + seconds
        while self._serves():
            if time.monotonic() > end:
                raise ComposeError(f"its machine's own Linux has not ended within {seconds:.0f} s", node=self.node)
            time.sleep(POLL)

    def _serves(self) -> bool:
        """Whether the SSH server of its own Linux still runs: it has that host key, and asks for a login."""
        done = self._run("true", (), as_node=False, timeout=QUESTION, more=("PreferredAuthentications=none",))
        return done.returncode == 0 or "Permission denied" in done.stderr

    # -- doing ---------------------------------------------------------------------------------------------------

    def do(
        self,
        what: str,
        script: str,
        *arguments: str,
        content: t.Iterable[bytes] | None = None,
        may_break: bool = False,
    ) -> None:
        """Run a script as root on what answered last.

        :param what: the script, in words.
        :param content: its standard input.
        :param may_break: it may end the connection.
        :raises ComposeError: with exit code and last lines.
        """
        done = self._run(script, arguments, as_node=self._as_node, timeout=COMMAND, content=content)
        if done.returncode != 0 and not (may_break and done.returncode == UNREACHED):
            error = CommandError(what, done.returncode, done.stderr or done.stdout)
            error.node = self.node
            raise error

    def _run(
        self,
        script: str,
        arguments: t.Sequence[str],
        *,
        as_node: bool,
        timeout: float,
        content: t.Iterable[bytes] | None = None,
        more: t.Sequence[str] = (),
    ) -> Completed:
        login = self._login
        options = [*_OPTIONS, *more]
        if as_node:
            user, port, key = "root", login.ssh_port, t.cast("str | None", self._keys.identity_file)
            options += [f"HostKeyAlias={self.node}", "GlobalKnownHostsFile=none"]
            options.append(f'UserKnownHostsFile="{self._keys.known_hosts_file}"')
        else:
            user, port, key = login.user, login.port, login.key
            if login.known_hosts is not None:
                options += [
                    f'UserKnownHostsFile="{os.path.expanduser(login.known_hosts)}"',
                    "GlobalKnownHostsFile=none",
                ]
        command = ["ssh"]
        for option in options:
            command += ["-o", option]
        if key is not None:
            command += ["-o", "IdentitiesOnly=yes", "-i", os.path.expanduser(key)]
        inside = ["sh", "-c", script, "compose", *arguments]
        if user != "root" and login.become:
            inside = ["sudo", "-n", "--", *inside]
        command += ["-p", str(port), "-l", user, "--", login.host, shlex.join(inside)]
        try:
            return run(command, timeout=timeout, stdin=content, check=False)
        except CommandError as error:  # the time was over: its command is a long script
            return Completed(UNREACHED, "", f"it did not end within {timeout:.0f} s; {error.output}")


def _last(done: Completed) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {done.returncode}"
