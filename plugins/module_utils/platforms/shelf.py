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
from ..process import need

#: Seconds for a command on the frontend, and for a file to be copied there.
_TIMEOUT, _COPY = 60.0, 7200.0


class Shelf(t.Protocol):
    """Files have their names once they are whole. Others may walk through the directory, and not list it."""

    def require(self) -> None:
        """:raises ComposeError: nothing can be put there."""

    def names(self) -> list[str]:
        """All files, also what a run has left that was killed while it copied; none if there is no directory. Those of
        a frontend begin with the newest."""

    def put(self, name: str, source: str, like: str = "") -> None:
        """Copy a file of this host there, in place of the one that has its name.

        :param like: another file there: what that has already need not travel.
        """

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

    def put(self, name: str, source: str, like: str = "") -> None:
        self.require()
        os.makedirs(self._directory, exist_ok=True)
        os.chmod(self._directory, 0o711)
        self.drop([entry for entry in self.names() if entry.startswith(f".{name}.")])
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


#: What receives a file: is given the directory, its name, that of one like it or nothing, and ``rsync``. Until it is
#: whole it has a hidden name, which begins as another one of what it is like: ``rsync`` writes a new file in its place.
_RECEIVE = """\
umask 077
name=$1 like=$2 part=.$1.part
shift 2
mkdir -p "$0" && chmod 711 "$0" && cd "$0" && rm -f "$part".* || exit
[ -z "$like" ] || ln -f "$like" "$part" || exit
"$@" && chmod 644 "$part" && sync "$part" && mv "$part" "$name"
"""


class RemoteShelf:
    """The same on a frontend, to which only travels what is not there."""

    def __init__(self, frontend: Frontend, above: str, owner: str) -> None:
        self._frontend = frontend
        self._above = above
        self._directory = os.path.join(above, owner)

    def require(self) -> None:
        need("rsync")
        usable = 'test -d "$0" -a -w "$0" -a -x "$0" || exit 1; command -v rsync >/dev/null || exit 2'
        code = self._frontend.run(["sh", "-c", usable, self._above], _TIMEOUT).returncode
        where = self._frontend.where
        if code == 2:
            raise ComposeError(f"rsync is not installed on {where}: images are copied there by it")
        if code:
            raise ComposeError(f"directory {self._above} of {where} does not exist, or cannot be written to")

    def names(self) -> list[str]:
        command = ["sh", "-c", 'cd "$0" 2>/dev/null && ls -At || true', self._directory]
        return self._frontend.run(command, _TIMEOUT).stdout.splitlines()

    def put(self, name: str, source: str, like: str = "") -> None:
        command = ["sh", "-c", _RECEIVE, self._directory, name, like]
        done = self._frontend.send(source, f".{name}.part", command, _COPY)
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
