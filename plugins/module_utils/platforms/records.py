# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a local platform remembers of a node: ``nodes/<name>`` in the state directory. PRIVATE to the collection.

================== =================================================================================================
``current.json``   what the node was last told to boot; written before it starts, and never while another image runs
``verified.json``  the same for what was last verified
``in/node.json``   the node document, as the node sees it
``console.log``    console since the last start; ``console.log.1`` is the console before that
================== =================================================================================================
"""

from __future__ import annotations

import os
import shutil
import typing as t
from dataclasses import replace

from ..composition.model import Volume
from ..errors import ComposeError
from ..files import write_json
from ..model import codec
from ..model.boot import Boot

#: What it was called before there was a room for types.
Record = Boot


class NodeState:
    """The directory of one node.

    :param state: state directory of the deployment.
    """

    def __init__(self, state: str, name: str) -> None:
        self.name = name
        self.directory = os.path.join(state, "nodes", name)
        self.volumes = os.path.join(state, "volumes", name)
        self.console = os.path.join(self.directory, "console.log")
        self.document_directory = os.path.join(self.directory, "in")
        self.document = os.path.join(self.document_directory, "node.json")
        self._current = os.path.join(self.directory, "current.json")
        self._verified = os.path.join(self.directory, "verified.json")

    @staticmethod
    def names(state: str, what: str = "nodes") -> list[str]:
        """Nodes that exist in a state directory, or (``volumes``) have data there."""
        try:
            return sorted(os.listdir(os.path.join(state, what)))
        except FileNotFoundError:
            return []

    def current(self) -> Record | None:
        return self._read(self._current)

    def verified(self) -> Record | None:
        return self._read(self._verified)

    def intend(self, record: Record) -> None:
        """Put everything in place for a start; only while nothing runs. A kill may leave any part of it undone."""
        write_json(self.document, record.document)
        self._write(self._current, record)
        if os.path.exists(self.console):
            os.replace(self.console, f"{self.console}.1")

    def commit(self) -> bool:
        """What was last told is verified; whether that is news. :raises ComposeError: nothing was told."""
        record = self.current()
        if record is None:
            raise ComposeError("cannot be marked verified: it was never started", node=self.name)
        if record == self.verified():
            return False
        self._write(self._verified, record)
        return True

    def refresh(self, document: t.Mapping[str, t.Any], digest: str) -> None:
        """Keep a new document for the next boot, of what runs and of the same thing verified."""
        record, verified = self.current(), self.verified()
        if record is None:
            raise ComposeError("cannot take a new document: it was never started", node=self.name)
        write_json(self.document, document)
        if verified is not None and verified.boots_like(record):
            self._write(self._verified, replace(verified, document=document, document_digest=digest))
        self._write(self._current, replace(record, document=document, document_digest=digest))

    def mounts(self, volumes: t.Mapping[str, Volume]) -> list[tuple[str, str]]:
        """Directories that a container sees, and where: the node document, and data volumes, made if missing."""
        mounts = [(self.document_directory, "/run/compose/in")]
        for volume, spec in volumes.items():
            directory = os.path.join(self.volumes, volume)
            os.makedirs(directory, exist_ok=True)
            mounts.append((directory, spec.mount))
        return mounts

    def remove(self, *, data: bool) -> bool:
        """Forget the node, and its data volumes with ``data``; whether there was anything. Only while nothing runs."""
        existed = os.path.exists(self.directory) or (data and os.path.exists(self.volumes))
        # The directory last, so that a killed removal is seen and finished by the next one.
        for path in (self.volumes, self.directory) if data else (self.directory,):
            if os.path.exists(path):
                shutil.rmtree(path)
        return existed

    @staticmethod
    def _write(path: str, record: Record) -> None:
        codec.write(path, record)

    @staticmethod
    def _read(path: str) -> Record | None:
        try:
            return codec.read(Record, path)
        except FileNotFoundError:
            return None
