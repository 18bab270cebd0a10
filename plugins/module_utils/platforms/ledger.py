# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is remembered of a node: ``nodes/<name>`` in the state directory. PRIVATE to the collection.

================== =================================================================================================
``current.json``   what the node was last told to boot
``verified.json``  the same for what was last verified
``intended.json``  what it is being told to boot, where nobody else knows how far that came
================== =================================================================================================

They hold node documents, with their secrets: mode 0600. Without them, nothing could go back to what was verified once
the deployment file says something else.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import replace

from ..errors import ComposeError
from ..model import codec
from ..model.boot import Boot
from ..model.codec import DamagedError
from ..model.document import NodeDocument
from ..model.result import Problem
from .problems import noting


class Ledger:
    """Of one node.

    :param state: state directory of the deployment.
    """

    def __init__(self, state: str, name: str) -> None:
        self.name = name
        self.directory = os.path.join(state, "nodes", name)
        self._current = os.path.join(self.directory, "current.json")
        self._verified = os.path.join(self.directory, "verified.json")
        self._intended = os.path.join(self.directory, "intended.json")

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

    def current(self) -> Boot | None:
        """``None`` if the node was never told to boot anything, or nobody can tell any more what.

        :raises InputError: another version has written it.
        """
        return _read(self._current)

    def verified(self) -> Boot | None:
        """As :meth:`current`."""
        return _read(self._verified)

    def intended(self) -> Boot | None:
        """What somebody else was asked for, as far as that can be read; ``None`` if the outcome of it is known."""
        with codec.forgiving():
            return _read(self._intended)
        return None

    def readable(self) -> tuple[Boot | None, Boot | None]:
        """What the node was last told, and what of it was verified, as far as that can be read: the plan refuses more.

        :raises NewerError: a newer version has written it.
        """
        current = verified = None
        with codec.forgiving():
            current = self.current()
        with codec.forgiving():
            verified = self.verified()
        return current, verified

    def told(self, boot: Boot) -> None:
        """The node is told to boot this: written while it does not run, or once it runs it."""
        codec.write(self._current, boot)
        with suppress(FileNotFoundError):
            os.unlink(self._intended)

    def intend(self, boot: Boot) -> None:
        """Somebody else is about to be asked for this boot: nobody knows what came of it, until :meth:`told`."""
        codec.write(self._intended, boot)

    def is_under_way(self) -> bool:
        """Whether a boot was asked for, and nothing was heard of it since."""
        return os.path.exists(self._intended)

    def commit(self) -> bool:
        """What was last told is verified; whether that is news. :raises ComposeError: nothing was told."""
        boot = self.current()
        if boot is None:
            raise ComposeError("cannot be marked verified: it was never started", node=self.name)
        if boot == self.verified():
            return False
        codec.write(self._verified, boot)
        return True

    def refresh(self, document: NodeDocument, digest: str) -> None:
        """Keep a new document for the next boot of what runs. What was verified stays what was verified."""
        boot = self.current()
        if boot is None:
            raise ComposeError("cannot take a new document: it was never started", node=self.name)
        codec.write(self._current, replace(boot, document=document, document_digest=digest))

    def forget(self) -> bool:
        """Whether there was anything to forget."""
        existed = self.exists()
        if existed:
            shutil.rmtree(self.directory)
        return existed


def _read(path: str) -> Boot | None:
    try:
        return codec.read(Boot, path, remedy="Remove the file, and the node is replaced; its data stay")
    except (FileNotFoundError, DamagedError):
        return None


def foreign(state: str, platform: str) -> list[Problem]:
    """The nodes in a state directory that are of another platform, or that another version has written."""
    problems: list[Problem] = []
    for name in Ledger.names(state):
        with noting(problems, name):
            boot = Ledger(state, name).current()
            if boot is not None and boot.platform != platform:
                raise ComposeError(
                    f"{state} holds nodes of platform {boot.platform!r}: destroy them first, with a deployment "
                    "file that still names that platform"
                )
    return problems
