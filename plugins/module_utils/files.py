# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""State files that survive a kill, a power cut and a full disk at any moment. PRIVATE to the collection."""

from __future__ import annotations

import fcntl
import glob
import json
import os
import typing as t
from contextlib import contextmanager, suppress


def write_text(path: str, text: str, mode: int = 0o600) -> None:
    """Replace a file in one step; its directory is made when missing (0700).

    :raises OSError: names the file, which is as it was.
    """
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    temporary = os.path.join(directory, f".{os.path.basename(path)}.new")
    try:
        with _alone(temporary) as handle:
            os.ftruncate(handle, 0)
            with open(handle, "w", encoding="utf-8", closefd=False) as stream:
                stream.write(text)
            os.fsync(handle)
            os.fchmod(handle, mode)
            os.replace(temporary, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error


def sweep(directory: str) -> None:
    """Remove what killed writers have left beside the files of a directory."""
    for path in glob.glob(os.path.join(glob.escape(directory), ".*.new")):
        with suppress(OSError), _locked(path, os.O_WRONLY, fcntl.LOCK_EX | fcntl.LOCK_NB) as handle:
            if handle is not None:  # else it is being written
                os.unlink(path)


@contextmanager
def _alone(path: str) -> t.Iterator[int]:
    """A file that nobody else writes meanwhile: what a kill has left is used again. Removed if the body fails."""
    while True:
        with _locked(path, os.O_WRONLY | os.O_CREAT, fcntl.LOCK_EX) as handle:
            if handle is None:
                continue
            try:
                yield handle
            except BaseException:
                os.unlink(path)
                raise
            return


@contextmanager
def _locked(path: str, flags: int, lock: int) -> t.Iterator[int | None]:
    """The file locked; ``None`` if that has got another name, or was removed, in the meantime."""
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, lock)
        there = False
        with suppress(FileNotFoundError):
            there = os.path.samestat(os.fstat(handle), os.stat(path))
        yield handle if there else None
    finally:
        os.close(handle)


def sync_below(directory: str) -> None:
    """Have the disk have all that is in a directory: before it gets the name under which it passes for whole."""
    import ctypes  # slow to import, for something rare

    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(handle):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), directory)
    finally:
        os.close(handle)


class Log:
    """A text file that lines are added to, each of them at once; others may add theirs. Opened with the first line.

    :param path: is made if it is missing.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._handle: int | None = None

    def add(self, text: str) -> None:
        """Add lines, each with its line feed. A full disk cuts them. :raises OSError: nothing was added."""
        if self._handle is None:
            self._handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        os.write(self._handle, text.encode("utf-8", "replace"))

    def __del__(self) -> None:
        if self._handle is not None:
            os.close(self._handle)


def replace_link(link: str, target: str) -> None:
    """Let a symbolic link lead to ``target``, in one step; it may exist."""
    temporary = f"{link}.new"
    with suppress(FileNotFoundError):
        os.unlink(temporary)
    os.symlink(target, temporary)
    os.replace(temporary, link)


def write_json(path: str, data: t.Any, mode: int = 0o600) -> None:
    """:func:`write_text` of ``data`` as JSON."""
    write_text(path, json.dumps(data, indent=1, sort_keys=True) + "\n", mode)


def read_json(path: str) -> t.Any:
    """The content of a JSON file."""
    with open(path, encoding="utf-8") as stream:
        return json_of(stream.read())


def json_of(text: str) -> t.Any:
    """What a JSON text says. :raises ValueError: it is none, or has half a character, which nobody could be told."""
    data = json.loads(text)
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(data, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"it has half a character, {ascii(error.object[error.start])}") from None
    return data
