# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site's frontend: a host that a person logs in to, by the ``ssh`` of this host. PRIVATE to the collection.

Nodes are reached by :mod:`.connection`, which knows their keys. A frontend is reached as its users reach it: their own
name, keys, agent, jump hosts and known hosts are in the configuration of OpenSSH, which nobody reads better.
"""

from __future__ import annotations

import os
import re
import shlex
import typing as t
from dataclasses import dataclass

from ..errors import CommandError, ComposeError, InputError
from ..process import Completed, run
from .words import last_lines

#: Seconds for a connection.
_CONNECT = 20
#: The end of what a command says, and what ``rsync`` says then; without it, it was ``ssh`` that failed.
_END = re.compile(r"compose exit (\d+)\n?((?:rsync.*\n)*)\Z")
#: Nobody is asked for passwords, and no unknown host is trusted.
_OPTIONS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    f"ConnectTimeout={_CONNECT}",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
)
_TARGET = re.compile(r"[\w.@:\[\]%-]+")


class FrontendError(ComposeError):
    """The frontend does not answer, or the connection broke."""


class LoginRefused(FrontendError):
    """The frontend is not the one that is known, or does not accept the user."""


@dataclass(frozen=True)
class Frontend:
    """A host to run commands on.

    :param target: ``HOST``, ``USER@HOST`` or ``ssh://USER@HOST:PORT``, as ``ssh`` takes it.
    :param config: configuration of ``ssh``, instead of the user's own.
    """

    target: str
    config: str | None = None

    def __post_init__(self) -> None:
        """:raises InputError: it is no host, or the configuration does not exist."""
        bare = self.target[6:] if self.target.startswith("ssh://") else self.target
        if not _TARGET.fullmatch(bare) or bare.startswith("-"):
            raise InputError(f"frontend is {self.target!r}, expected HOST, USER@HOST or ssh://USER@HOST:PORT")
        if self.config and not os.path.exists(self.config):
            raise InputError(f"ssh_config: {self.config} does not exist")

    @property
    def where(self) -> str:
        """User, host and port, as the configuration has them."""
        done = run([*self._ssh(), "-G", self.target], timeout=_CONNECT, check=False)
        said = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
        if done.returncode != 0 or "hostname" not in said:
            raise InputError(f"frontend {self.target!r}: {last_lines(done.stderr, 3)}")
        port = "" if said.get("port", "22") == "22" else f":{said['port']}"
        return f"{said.get('user', '')}@{said['hostname']}{port}"

    def run(self, command: t.Sequence[str], timeout: float, stdin: str | None = None) -> Completed:
        """Run a command in the user's home, and give its exit code and output.

        :param timeout: seconds.
        :param stdin: what it reads; command lines can be seen by all users of the host.
        :raises FrontendError: no connection, or it broke while the command ran.
        """
        try:
            done = run([*self._login(), *_through_sh(shlex.join(command))], timeout=timeout, stdin=stdin, check=False)
        except CommandError:
            raise FrontendError(f"{command[0]} on {self.where} did not end within {timeout:.0f} s") from None
        return self._ended(done)

    def send(self, source: str, name: str, command: t.Sequence[str], timeout: float) -> Completed:
        """Make a file there a copy of one of this host: what it has already is not sent; else as :meth:`run`.

        :param name: of that file. If the connection breaks, it is what has come.
        :param command: is given a command to run where that file is, ``rsync``.
        """
        # rsync takes other names of hosts than ssh does: the one that it is given here is left out.
        login = ["sh", "-c", f'shift; exec {shlex.join(self._login())} "$@"', "sh"]
        there = [*_through_sh(f'{shlex.join(command)} rsync "$@"'), "sh"]
        options = [
            "--copy-links",
            "--ignore-times",
            "--partial",
            f"--rsh={shlex.join(login)}",
            f"--rsync-path={' '.join(there)}",
        ]
        try:
            done = run(["rsync", *options, source, f"frontend:{name}"], timeout=timeout, check=False)
        except CommandError:
            raise FrontendError(f"copying {source} to {self.where} did not end within {timeout:.0f} s") from None
        return self._ended(done)

    def _login(self) -> list[str]:
        return [*self._ssh(), *[part for option in _OPTIONS for part in ("-o", option)], self.target]

    def _ended(self, done: Completed) -> Completed:
        match = _END.search(done.stderr)
        if not match:
            raise self._failed(done)
        return Completed(int(match[1]) or done.returncode, done.stdout, done.stderr[: match.start()] + match[2])

    def _ssh(self) -> list[str]:
        return ["ssh", *(["-F", self.config] if self.config else [])]

    def _failed(self, done: Completed) -> FrontendError:
        words = last_lines(done.stderr, 4) or "the connection was closed"
        for said, meaning in (
            ("Host key verification failed", "its host key is not the one in known_hosts, or is not there yet"),
            ("Permission denied", "it does not accept the user's keys"),
            ("Too many authentication failures", "it does not accept the user's keys"),
        ):
            if said in done.stderr:
                return LoginRefused(f"no login as {self.where}: {meaning} (exit code {done.returncode})\n{words}")
        return FrontendError(f"the frontend {self.where} cannot be reached (exit code {done.returncode})\n{words}")


def _through_sh(line: str) -> list[str]:
    """What a login shell there, whichever it is, is to run."""
    return ["sh", "-c", shlex.quote(f"cd; LC_ALL=C {line}; echo compose exit $? >&2")]


class Here:
    """This host, in place of a frontend, to run commands on."""

    where = "this host"

    def run(self, command: t.Sequence[str], timeout: float, stdin: str | None = None) -> Completed:
        """:raises ComposeError: the command is not installed, or did not end in time."""
        return run(command, timeout=timeout, stdin=stdin, check=False, env={"LC_ALL": "C"})
