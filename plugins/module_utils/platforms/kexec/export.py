# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Root file systems that a server holds for many nodes, as files of a directory that it exports. PRIVATE to the
collection.

The directory is on this host: because this host is the server, or has mounted it. Nodes only read.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ...errors import ComposeError
from ...model.image import Image
from ..shelf import LocalShelf
from . import scripts
from .machine import Machine

_SUFFIX = ".squashfs"
#: How it is mounted. By version 3 a server keeps nothing of who reads. By version 4 it takes machines that say the same
#: name, as all do that have none yet, for one that starts anew each time, and ends what it kept of the one before.
_HOW = "ro,vers=3,nolock,proto=tcp,port=2049,sec=sys"


@dataclass(frozen=True)
class Export:
    """What a server exports, and where that is on this host."""

    #: ``ADDRESS:/PATH``
    nfs: str
    #: Directory of this host.
    directory: str
    #: Name of the deployment: its files are in a directory of their own.
    owner: str

    @property
    def shelf(self) -> LocalShelf:
        return LocalShelf(self.directory, self.owner)

    def require(self) -> None:
        """:raises ComposeError: nothing can be put there."""
        try:
            self.shelf.require()
        except ComposeError as error:
            raise ComposeError(f"nfs_dir: {error.message}") from None

    def put(self, image: Image) -> bool:
        """Have the server hold the root file system of an image; whether it did not yet."""
        name = f"{image.identity}{_SUFFIX}"
        try:
            if name in self.shelf.names():  # only whole ones have that name
                return False
            self.shelf.put(name, image.path("root"))
        except OSError as error:
            raise ComposeError(f"nfs_dir: cannot copy {name} to {self.directory}: {error.strerror}") from None
        return True

    def prune(self, keep: t.Collection[str]) -> None:
        """Forget images whose identity is not in ``keep``."""
        names = self.shelf.names()
        self.shelf.drop([name for name in names if name.lstrip(".").partition(_SUFFIX)[0] not in keep])

    def try_from(self, machine: Machine, image: Image) -> None:
        """Have a machine's own Linux mount it, as the node will. :raises ComposeError: it cannot, and why."""
        machine.do(f"mounting {self.nfs} and looking for {self._file(image)} there", scripts.REACH, *self._words(image))

    def told(self, image: Image) -> str:
        """What the first process of a node is told."""
        return " ".join(self._words(image))

    def _file(self, image: Image) -> str:
        return f"{self.owner}/{image.identity}{_SUFFIX}"

    def _words(self, image: Image) -> tuple[str, str, str, str]:
        address, _colon, path = self.nfs.partition(":")
        return address, path, self._file(image), _HOW
