# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""State files that survive a kill at any moment. PRIVATE to the collection."""

from __future__ import annotations

import json
import os
import tempfile
import typing as t
from contextlib import suppress


def write_text(path: str, text: str, mode: int = 0o600) -> None:
    """Replace a file in one step; its directory is made when missing (0700)."""
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=directory, prefix=f".{os.path.basename(path)}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


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
        return json.load(stream)
