# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node was started with, and what it is seen to run. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .deployment import SECRET, Node
from .document import NodeDocument
from .free import Options
from .image import Image


@dataclass(frozen=True)
class Boot:
    """All that is needed to boot a node again as it was: image and node document, on a platform."""

    #: Name of the platform that runs the node.
    platform: str
    #: The content of its ``image.json``, with ``bundle``.
    image: Image
    #: What the node reads.
    document: NodeDocument = field(metadata=SECRET)
    #: ``BOOT-REST``: what is read at boot only, and what a running node takes over.
    document_digest: str
    #: Options of the platform, as they were in effect.
    options: Options
    schema: t.Literal["immutable.compose/machine/1"] = "immutable.compose/machine/1"

    def boots_like(self, other: Boot) -> bool:
        """Whether booting either gives the same node."""
        return (self.image.identity, self.document_digest, self.options) == (
            other.image.identity,
            other.document_digest,
            other.options,
        )


@dataclass(frozen=True)
class Target:
    """One node to switch: the image and the document it is to boot with."""

    node: Node
    image: Image
    document: NodeDocument = field(metadata=SECRET)
    document_digest: str
    #: Boot it even if it runs just that: a fresh start is what is asked for.
    fresh: bool = False


#: ``silent``: it is there, nobody can tell whether it runs, and that is not wrong.
State = t.Literal["running", "stopped", "absent", "silent"]


@dataclass(frozen=True)
class Seen:
    """What a node runs now, as the platform, or the node itself, tells."""

    state: State
    #: Identity of the image it runs (or would run when started).
    identity: t.Optional[str] = None
    #: Digest of the node document it was booted with.
    document: t.Optional[str] = None
    #: Identity of the last verified image.
    verified: t.Optional[str] = None
    #: Options of the platform that differ from what the deployment says now, in words: they need a new boot.
    differs: tuple[str, ...] = ()
    #: Whether a run that was killed, or failed, has left something to be marked or cleaned up, though the node runs
    #: what is verified. Where no node says so, a run without changes tells the platform nothing.
    leftovers: bool = False
