# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories and texts of the controller that a module needs on another host: packed there, unpacked here. PRIVATE.

On the other host each has a directory of its own, named by its digest, with the file ``packed``.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import tarfile
from dataclasses import dataclass
from functools import cached_property

from .errors import InputError

#: Bytes of a composition that are still sent.
LIMIT = 16 * 1024 * 1024
#: Name of what was sent, in its directory.
PACKED = "packed"


@dataclass(frozen=True)
class Packed:
    """What is sent, once for as long as it does not change."""

    #: Base name of the directory; empty for a text.
    name: str
    content: bytes

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()[:16]


@dataclass(frozen=True)
class Place:
    """A directory that the controller has.

    :param path: where this host has it; with ``name``: where this host has it packed.
    :param name: its base name, if it is packed.
    """

    path: str
    name: str = ""

    def directory(self) -> str:
        """Path on this host, unpacked now if it must be."""
        return unpack(self.path, self.name) if self.name else self.path


def pack(directory: str) -> Packed:
    """A directory with all its files. Hidden ones stay behind, and what Python has compiled.

    :raises InputError: it is too large.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for folder, folders, files in os.walk(directory):
            folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
            for name in sorted(name for name in files if not name.startswith(".")):
                path = os.path.join(folder, name)
                archive.add(path, os.path.relpath(path, directory), filter=_anonymous)
    size = buffer.tell()
    if size > LIMIT:
        raise InputError(
            f"{directory} has {size >> 20} MiB, more than the {LIMIT >> 20} MiB that are sent to another host"
        )
    return Packed(os.path.basename(directory), gzip.compress(buffer.getvalue(), mtime=0))


def unpack(packed: str, name: str) -> str:
    """Path of the directory that :func:`pack` packed, made beside the file ``packed`` unless it is there already."""
    target = os.path.join(os.path.dirname(packed), name)
    if not os.path.isdir(target):
        temporary = f"{target}.new"
        shutil.rmtree(temporary, ignore_errors=True)
        os.makedirs(temporary, mode=0o755)
        with tarfile.open(packed) as archive:
            archive.extraction_filter = getattr(tarfile, "data_filter", None)  # not in every Python 3.9
            archive.extractall(temporary)
        _sync(temporary)
        os.rename(temporary, target)
    return target


def _sync(directory: str) -> None:
    """Have the disk have all files: once the directory has its name, they pass for whole."""
    for folder, _folders, files in os.walk(directory):
        for name in files:
            with open(os.path.join(folder, name), "rb") as stream:
                os.fsync(stream.fileno())


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without what differs from one checkout to the next."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    entry.mode = 0o755 if entry.mode & 0o100 else 0o644
    return entry
