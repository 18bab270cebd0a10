# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Desired − observed: what has to happen to each node. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .release import Meaning, Release

#: What may happen to a node. ``refresh``: the running node is told its new peers; no reboot.
Action = t.Literal["keep", "refresh", "create", "replace", "retire"]
ACTIONS: tuple[Action, ...] = ("keep", "refresh", "create", "replace", "retire")
#: Those that boot an image.
SWITCHED: tuple[Action, ...] = ("create", "replace")


@dataclass(frozen=True)
class Change:
    """What has to happen to one node, and why."""

    action: Action
    #: Empty for a node that is no member any more.
    role: str
    #: Identity of the image that is meant for it.
    image: t.Optional[str]
    #: Identity of the image that it runs.
    running: t.Optional[str] = None
    #: Reasons, in words.
    why: list[str] = field(default_factory=list)

    @property
    def boots(self) -> bool:
        """Whether it boots an image."""
        return self.action in SWITCHED


@dataclass(frozen=True)
class Plan:
    """What has to happen to a deployment."""

    deployment: str
    #: By name of the node.
    changes: t.Mapping[str, Change]
    #: Nodes to be created or replaced, as they go down together.
    waves: tuple[tuple[str, ...], ...]
    #: Role → identity of the image that is meant.
    images: t.Mapping[str, str]
    meaning: Meaning
    #: Role → package → old and new version; null where a side lacks it.
    packages: t.Mapping[str, t.Mapping[str, tuple[t.Optional[str], t.Optional[str]]]] = field(default_factory=dict)
    #: Number of the kept release that this is the way to; null: to what the composition means now.
    release: t.Optional[int] = None
    #: The release that runs now; null before the first.
    current: t.Optional[Release] = None
    #: Nothing has to happen, all nodes are marked as verified, and there is nothing to clean up.
    settled: bool = False
    schema: t.Literal["immutable.compose/plan/1"] = "immutable.compose/plan/1"

    @property
    def pending(self) -> bool:
        """Whether anything has to happen."""
        return any(change.action != "keep" for change in self.changes.values())

    def names(self, *actions: Action) -> list[str]:
        """The nodes to which that is to happen."""
        return [name for name, change in self.changes.items() if change.action in actions]
