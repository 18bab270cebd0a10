# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and directories to and from a node, as tar streams over its connection. PRIVATE to the collection."""

from __future__ import annotations

import os
import shlex
import tarfile
import typing as t
from functools import partial

from ..errors import CommandError, ComposeError
from .connection import Connection
from .dial import GRACE

if t.TYPE_CHECKING:
    import paramiko

#: Seconds without any progress after which a copy is given up.
STALLED = 60.0
#: Bytes of what a command says of its failure.
_WORDS = 1 << 16
#: Bytes of a file that are in memory.
_PIECE = 1 << 16

#: What files of a node go through, piece by piece.
Mask = t.Callable[[t.Iterable[bytes]], t.Iterable[bytes]]


def put(connection: Connection, source: str, target: str) -> None:
    """Copy a file or directory to ``target`` on the node: modes are kept, the owner is root.

    As with ``cp -r``, it is copied into ``target`` if that is a directory. Missing parents are made.

    :raises ComposeError: no such source, or the node cannot store it.
    """
    if not os.path.exists(source):
        raise ComposeError(f"no such file or directory to copy to the node: {source}", node=connection.node)
    if connection.run(f"test -d {shlex.quote(target)}", STALLED).returncode == 0:
        directory, name = target, os.path.basename(os.path.abspath(source))
    else:
        directory, name = os.path.split(target.rstrip("/"))
    where = shlex.quote(directory or ".")
    command = f"mkdir -p -- {where} && tar -x -f - --no-same-owner -C {where}"
    with connection.session(command) as channel:
        channel.settimeout(STALLED)
        try:
            with channel.makefile("wb") as stream, tarfile.open(fileobj=stream, mode="w|") as archive:
                archive.add(source, arcname=name)
            channel.shutdown_write()
        except OSError as error:
            _finish(channel, command, str(error))
            raise ComposeError(f"copying {source} stalled: {error}", node=connection.node) from None
        _finish(channel, command)


def get(connection: Connection, source: str, directory: str, mask: Mask = iter) -> str:
    """Copy a file or directory of the node into ``directory`` of this host; returns its new path.

    Only regular files and directories are copied. Nothing is written outside ``directory``, whatever the node sends.

    :raises ComposeError: no such source.
    """
    parent, name = os.path.split(source.rstrip("/"))
    command = f"tar -c -f - -C {shlex.quote(parent or '.')} -- {shlex.quote(name)}"
    os.makedirs(directory, exist_ok=True)
    with connection.session(command) as channel:
        channel.settimeout(STALLED)
        try:
            with channel.makefile("rb") as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
                for member in archive:
                    _extract(archive, member, directory, mask)
        except (OSError, tarfile.TarError) as error:
            _finish(channel, command, str(error))
            raise ComposeError(f"copying {source} failed: {error}", node=connection.node) from None
        _finish(channel, command)
    return os.path.join(directory, name)


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, directory: str, mask: Mask) -> None:
    path = os.path.join(directory, member.name)
    if os.path.isabs(member.name) or ".." in member.name.split("/"):
        raise ComposeError(f"the node sent a path that leaves the directory: {member.name}")
    if member.isdir():
        os.makedirs(path, exist_ok=True)
    elif member.isfile():
        with t.cast(t.IO[bytes], archive.extractfile(member)) as content, open(path, "wb") as stream:
            stream.writelines(mask(iter(partial(content.read, _PIECE), b"")))


def _finish(channel: paramiko.Channel, command: str, output: str = "") -> None:
    """Raise if the command on the node failed; its own words tell more than those of a broken stream."""
    if channel.status_event.wait(GRACE) and channel.exit_status != 0:
        words = channel.makefile_stderr("rb").read(_WORDS).decode("utf-8", "replace")
        raise CommandError(command, channel.exit_status, words or output)
