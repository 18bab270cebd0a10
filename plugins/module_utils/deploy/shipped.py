# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories of the controller that a module needs on another host: packed there, unpacked here. PRIVATE."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import tarfile
import typing as t

from ..errors import InputError

#: Bytes of a composition, packed, that are still sent along with each step.
LIMIT = 16 * 1024 * 1024


def pack(directory: str) -> dict[str, str]:
    """A directory as an argument of a module: its name, its content, and a digest of that. Hidden files stay behind.

    :raises InputError: it is too large.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for folder, folders, files in os.walk(directory):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(name for name in files if not name.startswith(".")):
                path = os.path.join(folder, name)
                archive.add(path, os.path.relpath(path, directory), filter=_anonymous)
    content = buffer.getvalue()
    if len(content) > LIMIT:
        raise InputError(
            f"{directory} has {len(content) >> 20} MiB, more than the {LIMIT >> 20} MiB that are sent to another host"
        )
    return {
        "name": os.path.basename(directory),
        "digest": hashlib.sha256(content).hexdigest()[:16],
        "content": base64.b64encode(content).decode(),
    }


def unpack(packed: t.Mapping[str, str], below: str) -> str:
    """Path of what :func:`pack` packed, made below a directory of this host unless it is there already."""
    target = os.path.join(below, packed["digest"], packed["name"])
    if not os.path.isdir(target):
        temporary = f"{target}.new"
        shutil.rmtree(temporary, ignore_errors=True)
        os.makedirs(temporary, mode=0o755)
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(packed["content"]))) as archive:
            archive.extraction_filter = getattr(tarfile, "data_filter", None)  # not in every Python 3.9
            archive.extractall(temporary)
        os.rename(temporary, target)
    return target


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without what differs from one checkout to the next."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    entry.mode = 0o755 if entry.mode & 0o100 else 0o644
    return entry
