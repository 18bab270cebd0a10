# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Desired − observed: what has to happen to each node. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ..describe.document import needs_reboot
from ..images.packages import package_diff
from ..model.boot import Seen
from ..model.deployment import Node
from ..model.hooks import Hooks
from ..model.plan import ACTIONS, SWITCHED, Change, Plan
from ..model.step import Diff
from ..progress import listed

#: What it was called before there was a room for types.
Step = Change

#: Nodes that lines for people name.
SHOWN = 10


def plan_node(
    node: Node,
    image: str,
    digest: str,
    observed: Seen,
    *,
    asked: bool = False,
    lost: str | None = None,
    lapsed: bool = False,
) -> Step:
    """Compare one node with what it should be.

    :param image: identity of the image that the composition means for its role.
    :param digest: of its node document.
    :param asked: somebody wants it replaced in any case.
    :param lost: why nobody can log in to it until it boots again.
    :param lapsed: the certificate of its host key is not valid now, or not for long.
    """
    if observed.state == "absent":
        return Step("create", node.role, image, why=["does not exist"])
    why = [*(["asked for"] if asked else []), *([lost] if lost else [])]
    if observed.identity != image:
        why.append("another image")
    if observed.state == "stopped":  # what is silent is left alone: that is no reason to take it down
        why.append("is stopped")
    if needs_reboot(observed.document, digest):
        why.append("another node document")
    why += observed.differs
    verified = observed.identity == observed.verified
    if why:
        return Step("replace", node.role, image, observed.identity, why, verified, fresh=asked)
    if observed.document != digest:
        return Step("refresh", node.role, image, observed.identity, ["other peers or keys"], verified)
    if lapsed:
        return Step("refresh", node.role, image, observed.identity, ["its host certificate is not valid now"], verified)
    return Step("keep", node.role, image, observed.identity, verified=verified)


def render(steps: t.Mapping[str, Step], changes: t.Mapping[str, t.Mapping[str, list[str | None]]]) -> list[Diff]:
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


def _entry(header: str, before: list[str], after: list[str]) -> Diff:
    return Diff(header, header, "".join(f"{line}\n" for line in before), "".join(f"{line}\n" for line in after))


def staying(observed: t.Mapping[str, Seen], steps: t.Mapping[str, Step]) -> set[str]:
    """Nodes that exist and that the plan does not retire."""
    retired = {name for name, step in steps.items() if step.action == "retire"}
    return {name for name, seen in observed.items() if seen.state != "absent"} - retired


def hooks_of(hooks: Hooks, plan: Plan, observed: t.Mapping[str, Seen], out: t.Container[str]) -> dict[str, list[str]]:
    """Hook → nodes for which it is going to run, if all goes well.

    :param out: nodes that are out of service.
    """
    switched = [name for name in plan.batch if plan.steps[name].action in SWITCHED]
    nodes = {
        "drain": [name for name in switched if observed[name].state == "running"],
        "undrain": [name for name in plan.batch if name in switched or name in out],
        "end": [name for name in plan.batch if plan.steps[name].action != "keep"],
    }
    return {hook: names for hook, names in nodes.items() if getattr(hooks, hook) and names}


def told(plan: Plan, hooks: t.Mapping[str, t.Sequence[str]], ends: t.Mapping[str, t.Sequence[str]]) -> list[str]:
    """The plan as lines of progress: how many of each action, and each node that does not stay as it is.

    :param hooks: which of them run for which nodes.
    :param ends: deployment → those of its nodes that end with their machines.
    """
    counts = [f"{len(plan.names(action))} {action}" for action in ACTIONS if plan.names(action)]
    lines = [f"plan: {', '.join(counts)}"]
    changing = [(name, step) for name, step in plan.steps.items() if step.action != "keep"]
    for name, step in changing[:SHOWN]:
        lines.append(f"plan: {step.action} {name}: {', '.join(step.why)}")
    if len(changing) > SHOWN:
        lines.append(f"plan: and {len(changing) - SHOWN} more")
    lines += [f"plan: hook {hook}: {listed(names)}" for hook, names in hooks.items()]
    for deployment, names in ends.items():
        lines.append(f"plan: of deployment {deployment!r} end with their machines, and start again: {listed(names)}")
    return lines
