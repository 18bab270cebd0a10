# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task returns of all deployments in its batch. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .step import Diff


@dataclass(frozen=True)
class Part:
    """What a task adds to what its module returned of one deployment."""

    ignores_unknown: t.ClassVar[bool] = True

    #: Its hosts in this batch. Left out where the step goes on with a plan, which has them.
    hosts: t.Sequence[str] = ()
    #: The step came to nothing.
    failed: bool = False
    #: Why.
    msg: str = ""


@dataclass(frozen=True)
class NodeWord:
    """What every step says of a node; the rest depends on the step."""

    ignores_unknown: t.ClassVar[bool] = True

    #: Whether it is what was asked for. Plans do not say it of nodes that can be planned.
    ok: bool = True
    #: Why it is not, or what was done.
    message: str = ""


@dataclass(frozen=True)
class HookCall:
    """What a host has to run before the step goes on."""

    #: `drain`, `undrain`, `back` or `end`.
    hook: str
    #: With the tasks of the user, on the controller.
    file: str
    #: What the answer is known by: the variable `deploy_hooked` of the host, with `token` and `message`.
    token: str


@dataclass(frozen=True)
class TaskResult:
    """What a task returns of all deployments in its batch. Ansible adds words of its own."""

    ignores_unknown: t.ClassVar[bool] = True

    #: Whether anything was done to any of them, or in check mode would be.
    changed: bool
    #: Whether anything has to happen to any of them.
    pending: bool
    #: What there is to say of each node, by name.
    nodes: t.Mapping[str, NodeWord]
    #: Nodes that are not what was asked for.
    failed_nodes: t.Sequence[str]
    #: By name: what the module returned, without what is said here already.
    deployments: t.Mapping[str, Part]
    #: Host → hook that has to run before the task, repeated, goes on.
    asked: t.Mapping[str, HookCall] = field(default_factory=dict)
    #: Deployments that are planned once what runs under them is settled.
    put_off: t.Sequence[str] = ()
    diff: t.Sequence[Diff] = ()
    #: The step came to nothing for all of them, and no plan goes on.
    failed: bool = False
    #: Why.
    msg: str = ""
