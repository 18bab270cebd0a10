# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Kadeploy and the API of Grid'5000 answer, as far as it is looked at. PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...model.answer import Part, Word
from ...model.free import Json


@dataclass(frozen=True)
class Begun(Part):
    """An operation that was begun."""

    wid: Word


@dataclass(frozen=True)
class Named(Part):
    """An environment."""

    name: Word


@dataclass(frozen=True)
class Nodes(Part):
    """What an operation says of its nodes. Some list them, others have something to say of each."""

    ok: list[str] | dict[str, Json] | None = None
    ko: list[str] | dict[str, Json] | None = None
    processing: list[str] | dict[str, Json] | None = None

    def all(self) -> frozenset[str]:
        """Of all parts."""
        return frozenset(node for part in (self.ok, self.ko, self.processing) for node in part or ())


@dataclass(frozen=True)
class Operation(Part):
    """An operation in a list, or by itself."""

    wid: Word
    done: bool
    user: Word = ""
    error: bool = False
    environment: Named | None = None
    #: Nothing, where it failed as a whole.
    nodes: Nodes | None = None


@dataclass(frozen=True)
class NodeState(Part):
    """What became of a node."""

    error: Word | None = None
    #: Of the power of a node.
    out: Word | None = None


@dataclass(frozen=True)
class Listed(Part):
    """A deployment in a list of the API of Grid'5000."""

    uid: Word
    status: str = ""
    environment: Word = ""


@dataclass(frozen=True)
class NodesOfSite(Part):
    """Of ``/status`` of the API of Grid'5000."""

    nodes: dict[str, Json]


@dataclass(frozen=True)
class Result(Part):
    """What became of a node, in the words of the API of Grid'5000."""

    state: Word
    error: Word | None = None


@dataclass(frozen=True)
class Deployment(Part):
    """A deployment of the API of Grid'5000."""

    status: str
    nodes: list[str] = field(default_factory=list)
    output: Word | None = None
    result: dict[str, Result] | None = None
