# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Desired − observed: what has to happen to each node. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import asdict, dataclass, field

from ..composition.document import needs_reboot
from ..composition.model import Node
from ..images.packages import package_diff
from ..platforms.base import Observation

#: What may happen to a node. ``refresh``: the running node is told its new peers; no reboot.
ACTIONS = ("keep", "refresh", "create", "replace", "retire")
#: Those that boot an image.
SWITCHED = ("create", "replace")


@dataclass(frozen=True)
class Step:
    """What has to happen to one node, and why."""

    action: str
    role: str
    image: str | None
    running: str | None = None
    why: list[str] = field(default_factory=list)


def plan_node(node: Node, image: str, digest: str, observed: Observation) -> Step:
    """Compare one node with what it should be.

    :param image: identity of the image that the composition means for its role.
    :param digest: of its node document.
    """
    if observed.state == "absent":
        return Step("create", node.role, image, why=["does not exist"])
    why = []
    if observed.identity != image:
        why.append("another image")
    if observed.state != "running":
        why.append(f"is {observed.state}")
    if needs_reboot(observed.document, digest):
        why.append("another node document")
    why += observed.differs
    if why:
        return Step("replace", node.role, image, observed.identity, why)
    if observed.document != digest:
        return Step("refresh", node.role, image, observed.identity, ["other peers or keys"])
    return Step("keep", node.role, image, observed.identity)


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
        elif step.action != "retire":
            after.append(f"{name}: {step.image} ({step.action}: {', '.join(step.why)})")
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


def as_data(steps: t.Mapping[str, Step]) -> dict[str, dict[str, t.Any]]:
    """Steps as plain data for a task result."""
    return {name: asdict(step) for name, step in steps.items()}
