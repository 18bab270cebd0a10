# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory of files that others fetch, on this host or on a frontend. PRIVATE to the collection."""

from __future__ import annotations

import os
import shutil
import tempfile
import typing as t
from contextlib import suppress

from ..errors import CommandError, ComposeError
from ..nodes.frontend import Frontend

#: Seconds for a command on the frontend, and for a file to be copied there.
_TIMEOUT, _COPY = 60.0, 7200.0


class Shelf(t.Protocol):
    """Files have their names once they are whole. Others may walk through the directory, and not list it."""

    def require(self) -> None:
        """:raises ComposeError: nothing can be put there."""

    def names(self) -> list[str]:
        """All files, also what a run has left that was killed while it copied; none if there is no directory."""

    def put(self, name: str, source: str) -> None:
        """Copy a file of this host there, in place of the one that has its name."""

    def drop(self, names: t.Collection[str]) -> None:
        """Remove files, as far as they are there."""

    def remove(self) -> None:
        """Remove all."""


class LocalShelf:
    """:param above: must exist; :param owner: what is below it."""

    def __init__(self, above: str, owner: str) -> None:
        self._above = above
        self._directory = os.path.join(above, owner)

    def require(self) -> None:
        if not os.path.isdir(self._above) or not os.access(self._above, os.W_OK | os.X_OK):
            raise ComposeError(f"directory {self._above} does not exist, or cannot be written to")

    def names(self) -> list[str]:
        try:
            return os.listdir(self._directory)
        except FileNotFoundError:
            return []

    def put(self, name: str, source: str) -> None:
        self.require()
        os.makedirs(self._directory, exist_ok=True)
        os.chmod(self._directory, 0o711)
        handle, temporary = tempfile.mkstemp(dir=self._directory, prefix=f".{name}.")
        with open(handle, "wb") as copy, open(source, "rb") as stream:
            shutil.copyfileobj(stream, copy, 1 << 20)
            copy.flush()
            os.fsync(copy.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, os.path.join(self._directory, name))

    def drop(self, names: t.Collection[str]) -> None:
        for name in names:
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(self._directory, name))

    def remove(self) -> None:
        with suppress(FileNotFoundError):
            shutil.rmtree(self._directory)


class RemoteShelf:
    """The same on a frontend."""

    def __init__(self, frontend: Frontend, above: str, owner: str) -> None:
        self._frontend = frontend
        self._above = above
        self._directory = os.path.join(above, owner)

    def require(self) -> None:
        done = self._frontend.run(["sh", "-c", 'test -d "$0" -a -w "$0" -a -x "$0"', self._above], _TIMEOUT)
        if done.returncode:
            where = self._frontend.where
            raise ComposeError(f"directory {self._above} of {where} does not exist, or cannot be written to")

    def names(self) -> list[str]:
        command = ["sh", "-c", 'cd "$0" 2>/dev/null && ls -A || true', self._directory]
        return self._frontend.run(command, _TIMEOUT).stdout.splitlines()

    def put(self, name: str, source: str) -> None:
        script = 'mkdir -p "$0" && chmod 711 "$0" && cd "$0" && umask 077 && t=$(mktemp ".$1.XXXXXX") && cat >"$t"'
        command = ["sh", "-c", f'{script} && chmod 644 "$t" && sync "$t" && mv "$t" "$1"', self._directory, name]
        done = self._frontend.send(source, command, _COPY)
        if done.returncode:
            raise CommandError(f"copying {name} to {self._frontend.where}", done.returncode, done.stderr)

    def drop(self, names: t.Collection[str]) -> None:
        if names:
            self._run('cd "$0" 2>/dev/null || exit 0; rm -f "$@"', *names)

    def remove(self) -> None:
        self._run('rm -rf "$0"')

    def _run(self, script: str, *words: str) -> None:
        done = self._frontend.run(["sh", "-c", script, self._directory, *words], _TIMEOUT)
        if done.returncode:
            raise CommandError(f"sh on {self._frontend.where}", done.returncode, done.stderr)
