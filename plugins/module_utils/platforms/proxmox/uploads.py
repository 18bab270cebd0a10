# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images to import, on the storages of Proxmox VE, named by what is in them. PRIVATE to the collection."""

from __future__ import annotations

import os
import threading
import typing as t
from contextlib import contextmanager, suppress

from ...errors import ComposeError
from ...model.image import Image
from ...progress import Progress
from ...temporary import TemporaryDirectory
from .answers import Volume
from .client import LostAnswer, Refusal
from .cluster import Cluster
from .record import short
from .storage import Storage
from .tasks import wait_for

#: An upload whose connection broke is begun anew so often.
_TRIES = 3


def prefix(deployment: str) -> str:
    """Begin of the names of all files of a deployment, whose name has no dot."""
    return f"compose.{deployment}."


def image_file(deployment: str, identity: str) -> str:
    """Name of an image on a storage."""
    return f"{prefix(deployment)}{short(identity)}.qcow2"


class Uploads:
    """What is on the storage to which images are uploaded.

    :param seconds: deadline for a task.
    """

    def __init__(self, cluster: Cluster, storage: Storage, deployment: str, seconds: int, progress: Progress) -> None:
        self.cluster = cluster
        self.storage = storage
        self.deployment = deployment
        self._seconds = seconds
        self._progress = progress
        self._lock = threading.Lock()
        self._busy: dict[tuple[str, str], threading.Lock] = {}
        self._there: dict[str, dict[str, int]] = {}

    def image(self, node: str, image: Image) -> str:
        """Have an image where a node of the cluster can import it; its volume.

        On a storage that is not shared each node needs a copy of its own.
        """
        name = image_file(self.deployment, image.identity)
        with self._only_one(node, name):
            # A file that is there was complete: the server checks the sum before it puts a file into place.
            size = os.path.getsize(image.path("qcow2"))
            if self._listed(node).get(name) == size:
                return f"{self.storage.name}:import/{name}"
            self._progress.say(f"stage: sending {image.identity} ({size >> 20} MiB) to {self.storage.name} of {node}")
            return self._send(node, name, image.path("qcow2"))

    @contextmanager
    def document(self, node: str, name: str, content: bytes) -> t.Iterator[str]:
        """Have a small disk where a node can import it, as long as that takes; its volume."""
        with TemporaryDirectory("document") as directory:
            file = os.path.join(directory, "document")
            with open(file, "wb") as stream:
                stream.write(content)
            volume = self._send(node, f"{prefix(self.deployment)}{name}.raw", file)
        try:
            yield volume
        except BaseException:
            with suppress(ComposeError):  # what went wrong before is more to the point
                self.remove(node, volume)
            raise
        self.remove(node, volume)

    def _send(self, node: str, name: str, path: str) -> str:
        for attempt in range(1, _TRIES + 1):
            try:
                upid = self.cluster.client.upload(node, self.storage.name, name, path)
                break
            except LostAnswer as error:  # nothing of it stays: the server drops what did not arrive as a whole
                if attempt == _TRIES:
                    raise ComposeError(f"upload of {name} to {self.storage.name} of {node}: {error.message}") from None
                self._progress.say(f"stage: sending {name} anew: {error.message}")
        wait_for(self.cluster.client, upid, f"upload of {name} to {self.storage.name}", self._seconds)
        self._there.pop(self._where(node), None)
        return f"{self.storage.name}:import/{name}"

    def remove(self, node: str, volume: str) -> None:
        """Remove a file; one that is gone already is no error."""
        upid = self.cluster.client.call("DELETE", f"/nodes/{node}/storage/{self.storage.name}/content/{volume}")
        if upid:
            wait_for(self.cluster.client, str(upid), f"removal of {volume}", self._seconds)
        self._there.pop(self._where(node), None)

    def prune(self, keep: t.Collection[str]) -> list[str]:
        """Remove this deployment's files but for the images (identities) to be kept.

        :returns: what has to be tried again, in words.
        """
        left = []
        kept = {image_file(self.deployment, identity) for identity in keep}
        for node, name in self.found():
            if name not in kept:
                try:
                    self.remove(node, f"{self.storage.name}:import/{name}")
                except (Refusal, LostAnswer) as error:
                    left.append(f"{name} stays on {self.storage.name} of {node}: {error.message}")
        return left

    def found(self) -> list[tuple[str, str]]:
        """Host and name of each of this deployment's files."""
        nodes = [node for node in self.cluster.nodes() if self.storage.on(node)]
        listed = [(node, name) for node in (nodes[:1] if self.storage.shared else nodes) for name in self._listed(node)]
        return [(node, name) for node, name in listed if name.startswith(prefix(self.deployment))]

    def _listed(self, node: str) -> dict[str, int]:
        """Name of a file → bytes."""
        where = self._where(node)
        if where not in self._there:
            path = f"/nodes/{node}/storage/{self.storage.name}/content"
            entries = self.cluster.client.get(list[Volume], path, content="import")
            self._there[where] = {entry.volid.rpartition("/")[2]: entry.size or 0 for entry in entries}
        return self._there[where]

    def _where(self, node: str) -> str:
        return "" if self.storage.shared else node

    def _only_one(self, node: str, name: str) -> threading.Lock:
        with self._lock:
            return self._busy.setdefault((self._where(node), name), threading.Lock())
