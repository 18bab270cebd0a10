# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands on one node, as NixOS's test driver runs them: once, again and again, until they succeed. PRIVATE.

The names, arguments and results of what scripts call are those of NixOS (manual, section "Writing NixOS tests");
docs/checks.md has the differences. Time-outs are in seconds.
"""

from __future__ import annotations

import time
import typing as t
from contextlib import contextmanager
from contextvars import ContextVar

from ..errors import ComposeError
from ..nodes.connection import Connection, HostKeyMismatch, SSHError
from ..nodes.output import Output
from .deadline import Deadline, TriedLongEnough

#: Exit code that a command has when it was killed because its time was over (that of timeout(1)).
TIMED_OUT = 124
#: Seconds to wait for an answer to one TCP connection attempt.
PORT_ATTEMPT = 5.0
#: Seconds that the last of several tries may take.
LAST_TRY = 1.0

#: What a login shell of the node reads.
PROFILE = "/etc/profile"
#: Says what that service has set from which NixOS's driver has its shell: commands inherit it, and nothing of a login.
_SURROUNDINGS = """unset LC_ALL LANG
export USER=root HOME=/root DISPLAY=:0.0
if [ -e {profile} ]; then . {profile}; fi </dev/null >/dev/null 2>&1
export PAGER=
unset PWD OLDPWD SHLVL
echo unset LC_ALL LANG
export -p
echo "umask $(umask); ulimit -Sn 1024 2>/dev/null; cd /tmp"
"""

#: Called before each command of the thread's call: conditions that the script polls.
BEFORE: ContextVar[t.Callable[[], None]] = ContextVar("BEFORE", default=lambda: None)


class CheckFailed(ComposeError):
    """What a test script asked for is not so."""

    def __init__(
        self, message: str, node: str, *, command: str = "", returncode: int | None = None, output: str = ""
    ) -> None:
        self.command = command
        self.returncode = returncode
        self.output = output
        super().__init__(message, node=node)


class Commands:
    """What runs commands on one node."""

    def __init__(self, name: str, connection: Connection, deadline: Deadline) -> None:
        self.name = name
        #: What the machine is busy with now, for progress.
        self.doing = ""
        self._connection = connection
        self._deadline = deadline
        self._surroundings = _SURROUNDINGS.format(profile=PROFILE)

    def __repr__(self) -> str:
        return f"<Machine {self.name!r}>"

    def execute(
        self, command: str, check_return: bool = True, check_output: bool = True, timeout: float | None = 900
    ) -> tuple[int, str]:
        """Run a command under ``set -euo pipefail``; returns its exit code and its standard output.

        It ends when its standard output is closed, also by what it left in the background.

        :param check_return: false for commands that end the connection, such as a reboot; the exit code is -1 then.
        :param check_output: false to leave the command running and return (-2, "") at once.
        :param timeout: after that the command is killed, and its exit code is 124; ``None``: never.
        """
        with self._doing(f"running {_short(command)}"):
            if not check_output:
                self._run(f"{{ {command}\n}} >/dev/null 2>&1 &", timeout)
                return -2, ""
            try:
                output = self._run(command, timeout)
            except SSHError:
                if check_return:
                    raise
                return -1, ""
        return output.returncode if check_return else -1, text_of(output.stdout)

    def succeed(self, *commands: str, timeout: float | None = None) -> str:
        """Run commands one after the other; each must end with exit code 0. Returns their standard output."""
        outputs = []
        for command in commands:
            with self._doing(f"must succeed: {_short(command)}"):
                output = self._run(command, timeout)
            if output.returncode != 0:
                raise self._failed(f"command `{command}` failed ({_ended(output, timeout)})", command, output)
            outputs.append(text_of(output.stdout))
        return "".join(outputs)

    def fail(self, *commands: str, timeout: float | None = None) -> str:
        """Like :meth:`succeed`, but each command must end with another exit code than 0."""
        outputs = []
        for command in commands:
            with self._doing(f"must fail: {_short(command)}"):
                output = self._run(command, timeout)
            if output.returncode == 0:
                raise self._failed(f"command `{command}` unexpectedly succeeded", command, output)
            outputs.append(text_of(output.stdout))
        return "".join(outputs)

    def wait_until_succeeds(self, command: str, timeout: float = 900) -> str:
        """Repeat a command until it succeeds; returns its standard output."""
        return self._wait_until(True, command, timeout)

    def wait_until_fails(self, command: str, timeout: float = 900) -> str:
        """Repeat a command until it fails; returns its standard output."""
        return self._wait_until(False, command, timeout)

    def sleep(self, secs: float) -> None:
        """Let the node sleep."""
        self.succeed(f"sleep {secs}")

    # -- helpers -------------------------------------------------------------------------------------------------

    def _ready(self, timeout: float | None = None) -> None:
        """Called before each command: whatever has to be so that the node can be reached.

        :param timeout: seconds that the command has.
        """

    def _run(self, command: str, timeout: float | None) -> Output:
        BEFORE.get()()
        self._ready(timeout)
        allowed = self._deadline.cap(timeout)
        output = self._connection.run(f"set -euo pipefail; {command}", allowed, surroundings=self._surroundings)
        if not output.timed_out:
            return output
        if timeout is None or allowed < timeout:
            raise self._failed(f"{self._deadline.over()}, in: {command}", command, output)
        return Output(TIMED_OUT, output.stdout, output.stderr, timed_out=True)

    def _wait_until(self, success: bool, command: str, timeout: float) -> str:
        word = "succeed" if success else "fail"
        output = Output(-1, b"", b"")

        def is_so(left: float) -> bool:
            nonlocal output
            output = self._run(command, left)
            return (output.returncode == 0) is success

        try:
            self._retry(f"waiting for {word}: {_short(command)}", is_so, timeout)
        except TriedLongEnough as error:
            message = f"command `{command}` did not {word}: {error.message} ({_ended(output, timeout)})"
            raise self._failed(message, command, output) from None
        return text_of(output.stdout)

    def _wait_for(self, what: str, command: str, success: bool, timeout: float) -> None:
        def is_so(left: float) -> bool:
            return (self._run(command, min(left, PORT_ATTEMPT)).returncode == 0) is success

        try:
            self._retry(f"waiting for {what}", is_so, timeout)
        except TriedLongEnough as error:
            raise CheckFailed(f"waiting for {what}: {error.message}", self.name, command=command) from None

    def _retry(self, what: str, is_so: t.Callable[[float], bool], timeout: float) -> None:
        """Try until it is so; ``is_so`` is told how many seconds it may take.

        Nodes may reboot while something is waited for: a lost connection is no reason to give up.
        """
        end = time.monotonic() + timeout

        def attempt(last_try: bool) -> bool:
            try:
                return is_so(max(end - time.monotonic(), LAST_TRY))
            except HostKeyMismatch:
                raise
            except SSHError:
                if last_try:
                    raise
                return False

        with self._doing(what):
            self._deadline.retry(attempt, timeout)

    def _failed(self, message: str, command: str, output: Output) -> CheckFailed:
        text = text_of(output.stdout) + text_of(output.stderr)
        return CheckFailed(message, self.name, command=command, returncode=output.returncode, output=text)

    @contextmanager
    def _doing(self, what: str) -> t.Iterator[None]:
        before, self.doing = self.doing, self.doing or what
        try:
            yield
        except ComposeError as error:
            error.node = error.node or self.name
            raise
        finally:
            self.doing = before


def _ended(output: Output, timeout: float | None) -> str:
    return f"timed out after {timeout:g} s" if output.timed_out and timeout else f"exit code {output.returncode}"


def _short(command: str) -> str:
    line = " ".join(command.split())
    return line if len(line) <= 60 else f"{line[:59]}…"


def text_of(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
