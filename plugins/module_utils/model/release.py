# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment ran, and runs. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .follow import Follows
from .free import Parameters


@dataclass(frozen=True)
class Located:
    """Where a node is among the others of its role, and on the network."""

    #: 1, 2, … within the role.
    index: int
    #: Without prefix length; null where the platform knows none.
    address: t.Optional[str]


def _current(data: Parameters) -> Parameters:
    """The first version knew images by role only, the second no seals that were broken: what is new has a default."""
    return {**data, "schema": "immutable.compose/release/3"}


@dataclass(frozen=True)
class Release:
    """One state of a deployment that was verified."""

    migrations: t.ClassVar[t.Mapping[str, t.Callable[[Parameters], Parameters]]] = {
        "immutable.compose/release/1": _current,
        "immutable.compose/release/2": _current,
    }

    #: 1, 2, …
    number: int
    deployment: str
    #: Digest of the composition.
    composition: str
    #: Its git commit; null outside a repository.
    revision: t.Optional[str]
    #: Role → identity of the image that the composition means.
    images: t.Mapping[str, str]
    #: Node → role, of the nodes that were verified, with this release or before.
    nodes: t.Mapping[str, str]
    #: Role → TCP ports: with ``test_script``, what *verified* meant.
    ports: t.Mapping[str, t.Sequence[int]]
    test_script: str
    #: UTC, ``2026-01-31T12:00:00Z``.
    created: str
    #: The release that was current before.
    previous: t.Optional[int] = None
    #: How many checks ``passed`` and ``failed``.
    checks: t.Mapping[str, int] = field(default_factory=dict)
    #: Node → its index and address. Empty in records of earlier versions, as is the name of the composition.
    places: t.Mapping[str, Located] = field(default_factory=dict)
    #: A host name label.
    composition_name: str = ""
    #: Role → units, or patterns for them, whose failure counted for nothing.
    may_fail: t.Mapping[str, t.Sequence[str]] = field(default_factory=dict)
    #: Role → directories that follow a git repository, by path.
    follow: t.Mapping[str, Follows] = field(default_factory=dict)
    #: Node → identity of its image, where that is not the image of its role: the node waits for its turn, or went back
    #: alone.
    node_images: t.Mapping[str, str] = field(default_factory=dict)
    #: Node → why it was changed though it is sealed, by whom and when, as far as the last deploy has found; until one
    #: finds that it has booted again.
    unsealed: t.Mapping[str, t.Sequence[str]] = field(default_factory=dict)
    schema: t.Literal["immutable.compose/release/3"] = "immutable.compose/release/3"

    def image(self, node: str, role: str) -> t.Optional[str]:
        """Identity of the image of a node; ``None`` if nothing was released for it, nor for its role."""
        return self.node_images.get(node) or self.images.get(role)

    @property
    def identities(self) -> set[str]:
        """Of all images."""
        return {*self.images.values(), *self.node_images.values()}
