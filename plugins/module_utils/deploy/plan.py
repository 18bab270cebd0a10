# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Desired − observed: what has to happen to each node. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..composition.document import needs_reboot
from ..composition.model import Node
from ..images.packages import package_diff
from ..platforms.base import Observation

#: What may happen to a node. ``refresh``: the running node is told its new peers; no reboot.
ACTIONS = ("keep", "refresh", "create", "replace", "retire")
#: Those that boot an image.
SWITCHED = ("create", "replace")
#: Those after which a node is not as it was.
TOUCHED = (*SWITCHED, "refresh")

#: Nodes that lines for people name.
SHOWN = 30


@dataclass(frozen=True)
class Step:
    """What has to happen to one node, and why."""

    action: str
    role: str
    image: str | None
    running: str | None = None
    why: list[str] = field(default_factory=list)
    #: Whether what the node runs was verified.
    verified: bool = True
    #: Whether it is to boot anew even if it runs what it should.
    fresh: bool = False


@dataclass(frozen=True)
class Meaning:
    """What *verified* means, and of what."""

    #: Name of the composition, its digest, and its git revision if there is one.
    name: str
    digest: str
    revision: str | None
    #: TCP ports by role.
    ports: dict[str, list[int]]
    #: Units, or patterns for them, by role, whose failure counts for nothing.
    may_fail: dict[str, list[str]]
    test_script: str


@dataclass(frozen=True)
class Plan:
    """What a run has to do to its batch of a deployment."""

    #: Names of the nodes that the run acts on.
    batch: list[str]
    #: By node: those of the batch, and those to be retired.
    steps: dict[str, Step]
    #: Nodes to be switched, as they go down together.
    waves: list[list[str]]
    #: Role → identity of the image that is meant.
    images: dict[str, str]
    composition: Meaning
    #: Role → package → version, as far as that is known before the build.
    packages: dict[str, dict[str, str]]
    #: Number of the kept release that is gone back to; ``None`` for what the composition means now.
    release: int | None = None
    #: Nothing has to happen, and there is nothing to mark as verified and nothing to clean up.
    settled: bool = False

    @property
    def pending(self) -> bool:
        """Whether anything has to happen."""
        return any(step.action != "keep" for step in self.steps.values())

    def names(self, *actions: str) -> list[str]:
        """The nodes with one of these actions, those of the batch in its order."""
        return [name for name, step in self.steps.items() if step.action in actions]

    @property
    def unproven(self) -> list[str]:
        """Nodes of the batch that this run changes, or that an earlier one changed and never verified."""
        return [name for name in self.batch if self.steps[name].action in TOUCHED or not self.steps[name].verified]


def plan_node(node: Node, image: str, digest: str, observed: Observation, *, asked: bool = False) -> Step:
    """Compare one node with what it should be.

    :param image: identity of the image that the composition means for its role.
    :param digest: of its node document.
    :param asked: somebody wants it replaced in any case.
    """
    if observed.state == "absent":
        return Step("create", node.role, image, why=["does not exist"])
    why = ["asked for"] if asked else []
    if observed.identity != image:
        why.append("another image")
    if observed.state != "running":
        why.append(f"is {observed.state}")
    if needs_reboot(observed.document, digest):
        why.append("another node document")
    why += observed.differs
    verified = observed.identity == observed.verified
    if why:
        return Step("replace", node.role, image, observed.identity, why, verified, fresh=asked)
    if observed.document != digest:
        return Step("refresh", node.role, image, observed.identity, ["other peers or keys"], verified)
    return Step("keep", node.role, image, observed.identity, verified=verified)


def render(
    steps: t.Mapping[str, Step], changes: t.Mapping[str, t.Mapping[str, list[str | None]]]
) -> list[dict[str, str]]:
    """The plan as Ansible's ``--diff`` shows it: one entry for the nodes, one per role whose packages change."""
    before, after = [], []
    for name, step in sorted(steps.items()):
        if step.running is not None:
            before.append(f"{name}: {step.running}")
        if step.action == "keep":
            after.append(f"{name}: {step.running}")
        else:
            after.append(f"{name}: {step.image or 'nothing'} ({step.action}: {', '.join(step.why)})")
    diff = []
    if before != after:
        diff.append(_entry("nodes", before, after))
    for role, packages in sorted(changes.items()):
        if packages:
            header = f"packages of role {role}"
            diff.append(package_diff(packages, header, header))
    return diff


def _entry(header: str, before: list[str], after: list[str]) -> dict[str, str]:
    return {
        "before_header": header,
        "after_header": header,
        "before": "".join(f"{line}\n" for line in before),
        "after": "".join(f"{line}\n" for line in after),
    }


def told(plan: Plan) -> list[str]:
    """The plan as lines of progress: how many of each action, and each node that does not stay as it is."""
    counts = [f"{len(plan.names(action))} {action}" for action in ACTIONS if plan.names(action)]
    lines = [f"plan: {', '.join(counts)}"]
    changing = [(name, step) for name, step in plan.steps.items() if step.action != "keep"]
    for name, step in changing[:SHOWN]:
        lines.append(f"plan: {step.action} {name}: {', '.join(step.why)}")
    if len(changing) > SHOWN:
        lines.append(f"plan: and {len(changing) - SHOWN} more")
    return lines
