# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Desired − observed: what has to happen to each node. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .follow import Follows

#: What may happen to a node. ``refresh``: the running node is told its new peers; no reboot.
ACTIONS = ("keep", "refresh", "create", "replace", "retire")
#: Those that boot an image.
SWITCHED = ("create", "replace")
#: Those after which a node is not as it was.
TOUCHED = (*SWITCHED, "refresh")


@dataclass(frozen=True)
class Change:
    """What has to happen to one node, and why."""

    action: str
    role: str
    image: t.Optional[str]
    running: t.Optional[str] = None
    why: list[str] = field(default_factory=list)
    #: Whether what the node runs was verified.
    verified: bool = True
    #: Whether it is to boot anew even if it runs what it should.
    fresh: bool = False


@dataclass(frozen=True)
class Meaning:
    """What *verified* means, and of what."""

    #: Role → identity of the image that is meant.
    images: dict[str, str]
    #: Name of the composition, its digest, and its git revision if there is one.
    name: str
    digest: str
    revision: t.Optional[str]
    #: TCP ports by role.
    ports: dict[str, list[int]]
    #: Units, or patterns for them, by role, whose failure counts for nothing.
    may_fail: dict[str, list[str]]
    test_script: str
    #: Role → directories that follow a git repository, by path.
    follow: dict[str, Follows] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What a run has to do to its batch of a deployment."""

    #: Names of the nodes that the run acts on.
    batch: list[str]
    #: By node: those of the batch, and those to be retired.
    steps: dict[str, Change]
    #: Nodes to be switched, as they go down together.
    waves: list[list[str]]
    composition: Meaning
    #: Role → package → version, as far as that is known before the build.
    packages: dict[str, dict[str, str]]
    #: Number of the kept release that is gone back to; ``None`` for what the composition means now.
    release: t.Optional[int] = None
    #: It was asked for as the one before: a run that was killed is not to change what that is.
    previous: bool = False
    #: Nothing has to happen, and there is nothing to mark as verified and nothing to clean up.
    settled: bool = False

    @property
    def pending(self) -> bool:
        """Whether anything has to happen."""
        return any(step.action != "keep" for step in self.steps.values())

    def image(self, name: str) -> str:
        """Identity of the image that is meant for a node of the batch."""
        return t.cast(str, self.steps[name].image)

    def names(self, *actions: str) -> list[str]:
        """The nodes with one of these actions, those of the batch in its order."""
        return [name for name, step in self.steps.items() if step.action in actions]

    @property
    def unproven(self) -> list[str]:
        """Nodes of the batch that this run changes, or that an earlier one changed and never verified."""
        return [name for name in self.batch if self.steps[name].action in TOUCHED or not self.steps[name].verified]
