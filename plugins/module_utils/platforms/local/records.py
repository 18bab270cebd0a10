# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a local platform has of a node: ``nodes/<name>`` in the state directory. PRIVATE to the collection.

================== =================================================================================================
``current.json``   of the ledger: written before the node starts, and never while another image runs
``verified.json``  of the ledger
``in/node.json``   the node document, as the node sees it
``console.log``    end of the console since the last start; ``console.log.1`` is the console before that
================== =================================================================================================

Its data volumes are in ``volumes/<name>``, and beside them ``owner.json``: for whom they were made.
"""

from __future__ import annotations

import os
import shutil
import typing as t

from ...describe.ownership import DataVolume, Owner
from ...model import codec
from ...model.boot import Boot
from ...model.composition import Volume
from ...model.deployment import Deployment
from ...model.document import NodeDocument
from ..ledger import Ledger

_OWNER = "owner.json"


class NodeState(Ledger):
    """The directory of one node.

    :param state: state directory of the deployment.
    """

    def __init__(self, state: str, name: str) -> None:
        super().__init__(state, name)
        self.volumes = os.path.join(state, "volumes", name)
        self.console = os.path.join(self.directory, "console.log")
        self.document_directory = os.path.join(self.directory, "in")
        self.document = os.path.join(self.document_directory, "node.json")

    def told(self, boot: Boot) -> None:
        """Put everything in place for a start; only while nothing runs. A kill may leave any part of it undone."""
        codec.write(self.document, boot.document)
        super().told(boot)
        if os.path.exists(self.console):
            os.replace(self.console, f"{self.console}.1")

    def refresh(self, document: NodeDocument, digest: str) -> None:
        """As in the ledger, and where the node finds it."""
        if self.current() is not None:
            codec.write(self.document, document)
        super().refresh(document, digest)

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
        remedy = (
            f"The file says whose the data in {self.volumes} are: if they are those of node {self.name!r}, remove the "
            "file, and it is written again"
        )
        try:
            return codec.read(Owner, os.path.join(self.volumes, _OWNER), remedy=remedy)
        except FileNotFoundError:
            return None

    def _readable_owner(self) -> Owner | None:
        with codec.forgiving():
            return self._owner()
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
