# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine API of the NixOS test driver, as far as it makes sense over SSH. PRIVATE to the collection.

Names, arguments and results are those of NixOS (manual, section "Writing NixOS tests"); docs/checks.md has the
differences. Time-outs are in seconds.
"""

from __future__ import annotations

import os
import re
import shlex
import time
import typing as t
from contextlib import contextmanager

from ..errors import ComposeError
from ..nodes import copy
from ..nodes.connection import Connection, HostKeyMismatch, SSHError
from ..nodes.output import Output
from .deadline import Deadline, TriedLongEnough

#: Exit code that a command has when it was killed because its time was over (that of timeout(1)).
TIMED_OUT = 124
#: Seconds to wait for an answer to one TCP connection attempt.
PORT_ATTEMPT = 5.0
#: Seconds that the last of several tries may take.
LAST_TRY = 1.0


class CheckFailed(ComposeError):
    """What a test script asked for is not so."""

    def __init__(
        self, message: str, node: str, *, command: str = "", returncode: int | None = None, output: str = ""
    ) -> None:
        self.command = command
        self.returncode = returncode
        self.output = output
        super().__init__(message, node=node)


class Machine:
    """One node, as a test script sees it.

    :param console: gives the last so many lines of the node's console.
    :param results: directory where :meth:`copy_from_machine` puts files.
    :param say: tells the user one line.
    :param mask: what they go through, piece by piece.
    """

    def __init__(
        self,
        name: str,
        connection: Connection,
        deadline: Deadline,
        *,
        role: str = "",
        console: t.Callable[[int], str],
        results: str,
        say: t.Callable[[str], None],
        mask: copy.Mask = iter,
    ) -> None:
        self.name = name
        self.role = role
        #: What the machine is busy with now, for progress.
        self.doing = ""
        self._connection = connection
        self._deadline = deadline
        self._console = console
        self._results = results
        self._say = say
        self._mask = mask

    def __repr__(self) -> str:
        return f"<Machine {self.name!r}>"

    # -- commands ------------------------------------------------------------------------------------------------

    def execute(
        self, command: str, check_return: bool = True, check_output: bool = True, timeout: float | None = 900
    ) -> tuple[int, str]:
        """Run a command under ``set -euo pipefail``; returns its exit code and its standard output.

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
        return output.returncode if check_return else -1, _text(output.stdout)

    def succeed(self, *commands: str, timeout: float | None = None) -> str:
        """Run commands one after the other; each must end with exit code 0. Returns their standard output."""
        outputs = []
        for command in commands:
            with self._doing(f"must succeed: {_short(command)}"):
                output = self._run(command, timeout)
            if output.returncode != 0:
                raise self._failed(f"command `{command}` failed ({_ended(output, timeout)})", command, output)
            outputs.append(_text(output.stdout))
        return "".join(outputs)

    def fail(self, *commands: str, timeout: float | None = None) -> str:
        """Like :meth:`succeed`, but each command must end with another exit code than 0."""
        outputs = []
        for command in commands:
            with self._doing(f"must fail: {_short(command)}"):
                output = self._run(command, timeout)
            if output.returncode == 0:
                raise self._failed(f"command `{command}` unexpectedly succeeded", command, output)
            outputs.append(_text(output.stdout))
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

    def start(self) -> None:
        """Connect, if that was not done yet. The node runs already."""
        self.succeed("true")

    def log(self, msg: str) -> None:
        """Tell the user one line."""
        self._say(f"{self.name}: {msg}")

    # -- systemd -------------------------------------------------------------------------------------------------

    def systemctl(self, q: str, user: str | None = None) -> tuple[int, str]:
        """Run ``systemctl q``, for a user with ``--user``."""
        return self._systemctl(q, user, 900)

    def get_unit_info(self, unit: str, user: str | None = None) -> dict[str, str]:
        """The properties of a unit, from ``systemctl show``."""
        return self._show(f'"{unit}"', user, 900)

    def get_unit_property(self, unit: str, property: str, user: str | None = None) -> str:
        """One property of a unit."""
        return self._property(unit, property, user, 900)

    def require_unit_state(self, unit: str, require_state: str = "active") -> None:
        """Fail unless the unit is in that state now."""
        state = self.get_unit_property(unit, "ActiveState")
        if state != require_state:
            raise self._unit_failed(f'unit "{unit}" is in state "{state}", expected "{require_state}"', unit)

    def wait_for_unit(self, unit: str, user: str | None = None, timeout: float = 900) -> None:
        """Wait until a unit is active. Fails at once if it failed, or is inactive and nothing is about to start it."""

        def is_active(left: float) -> bool:
            state = self._property(unit, "ActiveState", user, left)
            if state == "failed":
                raise self._unit_failed(f'unit "{unit}" reached state "failed"', unit, user)
            if state == "inactive":
                dummy, jobs = self._systemctl("list-jobs --full 2>&1", user, left)
                # Asked again: it may have become active in between.
                if "No jobs" in jobs and self._property(unit, "ActiveState", user, left) == state:
                    message = f'unit "{unit}" is inactive and there are no pending jobs'
                    raise self._unit_failed(message, unit, user)
            return state == "active"

        try:
            self._retry(f"waiting for unit {unit}", is_active, timeout)
        except TriedLongEnough as error:
            raise self._unit_failed(f'waiting for unit "{unit}": {error.message}', unit, user) from None

    def start_job(self, jobname: str, user: str | None = None) -> tuple[int, str]:
        """``systemctl start``."""
        return self.systemctl(f"start {jobname}", user)

    def stop_job(self, jobname: str, user: str | None = None) -> tuple[int, str]:
        """``systemctl stop``."""
        return self.systemctl(f"stop {jobname}", user)

    # -- files, ports, console -----------------------------------------------------------------------------------

    def wait_for_file(self, filename: str, timeout: float = 900) -> None:
        """Wait until a file exists."""
        self._wait_for(f"file {filename}", f"test -e {filename}", True, timeout)

    def wait_for_open_port(self, port: int, addr: str = "localhost", timeout: float = 900) -> None:
        """Wait until a TCP port accepts connections from the node itself."""
        self._wait_for(f"TCP port {port} on {addr}", _connect_to(port, addr), True, timeout)

    def wait_for_closed_port(self, port: int, addr: str = "localhost", timeout: float = 900) -> None:
        """Wait until a TCP port accepts no connections from the node itself."""
        self._wait_for(f"TCP port {port} on {addr} to be closed", _connect_to(port, addr), False, timeout)

    def wait_for_console_text(self, regex: str, timeout: float = 900) -> None:
        """Wait until a regular expression matches the last 1,000 lines of the node's console."""
        pattern = re.compile(regex)
        what = f"waiting for /{regex}/ on the console"
        try:
            self._retry(what, lambda _left: pattern.search(self._console(1000)) is not None, timeout)
        except TriedLongEnough as error:
            raise CheckFailed(f"{what}: {error.message}", self.name, output=self._console(20)) from None

    def copy_from_host(self, source: str, target: str) -> None:
        """Copy a file or directory from the host that runs the checks to the node."""
        with self._doing(f"copying {source} to the node"):
            copy.put(self._connection, source, target)

    def copy_from_machine(self, source: str, target_dir: str = "") -> None:
        """Copy a file or directory from the node into the directory of the result files; secrets in text are masked."""
        with self._doing(f"copying {source} from the node"):
            copy.get(self._connection, source, os.path.join(self._results, target_dir), self._mask)

    # -- helpers -------------------------------------------------------------------------------------------------

    def _run(self, command: str, timeout: float | None) -> Output:
        allowed = self._deadline.cap(timeout)
        output = self._connection.run(f"set -euo pipefail; {command}", allowed)
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
        return _text(output.stdout)

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

    def _systemctl(self, q: str, user: str | None, timeout: float) -> tuple[int, str]:
        if user is None:
            return self.execute(f"systemctl {q}", timeout=timeout)
        inner = f"XDG_RUNTIME_DIR=/run/user/$(id -u) systemctl --user {q}"
        return self.execute(f"su -l {shlex.quote(user)} --shell /bin/sh -c {shlex.quote(inner)}", timeout=timeout)

    def _show(self, arguments: str, user: str | None, timeout: float) -> dict[str, str]:
        code, lines = self._systemctl(f"--no-pager show {arguments}", user, timeout)
        if code != 0:
            raise CheckFailed(f"systemctl show {arguments} failed with exit code {code}", self.name, output=lines)
        return dict(line.split("=", 1) for line in lines.splitlines() if "=" in line)

    def _property(self, unit: str, property: str, user: str | None, timeout: float) -> str:
        info = self._show(f'"{unit}" --property="{property}"', user, timeout)
        if property not in info:
            raise CheckFailed(f'unit "{unit}" has no property "{property}"', self.name)
        return info[property]

    def _unit_failed(self, message: str, unit: str, user: str | None = None) -> CheckFailed:
        dummy, status = self.systemctl(f'--no-pager --lines=20 status "{unit}" 2>&1', user)
        return CheckFailed(message, self.name, command=f"systemctl status {unit}", output=status)

    def _failed(self, message: str, command: str, output: Output) -> CheckFailed:
        text = _text(output.stdout) + _text(output.stderr)
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


def _connect_to(port: int, addr: str) -> str:
    """bash opens TCP connections itself: no other program needs to be in the image."""
    return f"exec 3<>/dev/tcp/{addr}/{port}"


def _ended(output: Output, timeout: float | None) -> str:
    return f"timed out after {timeout:g} s" if output.timed_out and timeout else f"exit code {output.returncode}"


def _short(command: str) -> str:
    line = " ".join(command.split())
    return line if len(line) <= 60 else f"{line[:59]}…"


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
