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

Its data volumes are in ``volumes/<name>``, and beside them ``owner.json``: for whom they were made.
"""

from __future__ import annotations

import os
import shutil
import typing as t
from dataclasses import replace

from ...describe.ownership import DataVolume, Owner
from ...errors import ComposeError, InputError
from ...files import write_json
from ...model import codec
from ...model.boot import Boot
from ...model.codec import DamagedError
from ...model.composition import Volume
from ...model.deployment import Deployment

_OWNER = "owner.json"

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
            return sorted(entry.name for entry in os.scandir(os.path.join(state, what)) if entry.is_dir())
        except FileNotFoundError:
            return []

    def exists(self) -> bool:
        """Whether there is anything of the node, be it half made."""
        return os.path.exists(self.directory)

    def current(self) -> Record | None:
        """``None`` if the node was never told to boot anything, or nobody can tell any more what.

        :raises InputError: another version has written it.
        """
        return self._read(self._current)

    def verified(self) -> Record | None:
        """As :meth:`current`."""
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
        """Keep a new document for the next boot of what runs. What was verified stays what was verified."""
        record = self.current()
        if record is None:
            raise ComposeError("cannot take a new document: it was never started", node=self.name)
        write_json(self.document, document)
        self._write(self._current, replace(record, document=document, document_digest=digest))

    def data(self, deployment: Deployment) -> list[DataVolume]:
        """The node's data volumes.

        :raises InputError: it cannot be read for whom they were made.
        """
        try:
            entries = sorted(
                entry for entry in os.listdir(self.volumes) if not entry.startswith((_OWNER, f".{_OWNER}"))
            )
        except FileNotFoundError:
            return []
        owner = self._owner()
        if owner is None:  # made by a version that did not write it down
            record = self.verified() or self.current()
            owner = None if record is None else Owner.of(deployment, self.name, record.image.role)
        return [
            DataVolume(entry.split(".raw")[0], os.path.join(self.volumes, entry), owner)
            for entry in entries
            if not entry.endswith(".raw.new")
        ]

    def own(self, owner: Owner, volumes: t.Collection[str]) -> None:
        """Write down for whom the node's data volumes are, before they are made or used.

        :param volumes: those that the node is going to have; of one without, what is left there is handed over, too.
        """
        if (volumes or os.path.exists(self.volumes)) and self._readable_owner() != owner:
            codec.write(os.path.join(self.volumes, _OWNER), owner)

    def _owner(self) -> Owner | None:
        path = os.path.join(self.volumes, _OWNER)
        try:
            return codec.read(Owner, path)
        except FileNotFoundError:
            return None
        except InputError as error:
            raise InputError(
                f"{error.message}. The file says whose the data in {self.volumes} are: if they are those of node "
                f"{self.name!r}, remove the file, and it is written again"
            ) from None

    def _readable_owner(self) -> Owner | None:
        try:
            return self._owner()
        except InputError:
            return None

    def mounts(self, volumes: t.Mapping[str, Volume]) -> list[tuple[str, str]]:
        """Directories of data volumes that a container sees, and where; made if missing."""
        mounts = []
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
        except (FileNotFoundError, DamagedError):
            return None
        except InputError as error:
            raise InputError(
                f"{error.message}: another version has written it. Use that version, or remove the file: then the node "
                "is replaced"
            ) from None
