# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a step returns of one deployment. PRIVATE to the collection.

A field with a default is left out of the JSON as long as it has that: controllers keep the results of many nodes.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..errors import Failure
from .composition import Composition
from .hooks import Ask
from .report import Measurement, Provenance
from .result import NodeResult

#: Package → old and new version; null where there is none.
PackageChanges = t.Mapping[str, t.Sequence[t.Optional[str]]]


@dataclass(frozen=True)
class Diff:
    """Something that changes, as Ansible's ``--diff`` shows it."""

    before_header: str
    after_header: str
    before: str
    after: str


@dataclass(frozen=True)
class StepResult:
    """What every step says."""

    brief: t.ClassVar[bool] = True

    #: Whether anything was done, or in check mode would be.
    changed: bool


@dataclass(frozen=True)
class StepFailure:
    """Why a step came to nothing, for the whole deployment."""

    brief: t.ClassVar[bool] = True

    msg: str
    #: The same for programs, where it is of a known kind.
    failure: t.Optional[Failure] = None
    #: Where in the code, if nobody expected it.
    exception: str = ""


@dataclass(frozen=True)
class NodePlan:
    """What has to happen to one node, and why."""

    brief: t.ClassVar[bool] = True

    #: ``keep``, ``refresh``, ``create``, ``replace`` or ``retire``.
    action: str
    #: Empty for a node that is no part of the deployment any more.
    role: str = ""
    #: Identity of the image that is meant.
    image: t.Optional[str] = None
    #: Identity of the image that it runs.
    running: t.Optional[str] = None
    why: t.Sequence[str] = ()


@dataclass(frozen=True)
class Planned(StepResult):
    """Result of `deployment_plan`."""

    #: Whether anything has to happen.
    pending: bool
    #: Nothing has to happen, and there is nothing to mark as verified and nothing to clean up.
    settled: bool
    #: By name: those of the batch, and those to be retired.
    nodes: t.Mapping[str, NodePlan]
    #: Nodes to be switched, as they go down together.
    waves: t.Sequence[t.Sequence[str]]
    #: Role → identity of the image that is meant.
    images: t.Mapping[str, str]
    #: Role → package → old and new version, of roles whose image changes.
    packages: t.Mapping[str, PackageChanges]
    #: Number of the kept release that is gone back to; null for what the composition means now.
    release: t.Optional[int]
    #: Hook → nodes for which it is going to run, if all goes well.
    hooks: t.Mapping[str, t.Sequence[str]] = field(default_factory=dict)
    #: Deployment → those of its nodes that end with their machines, which are of this one, and start again afterwards.
    ends: t.Mapping[str, t.Sequence[str]] = field(default_factory=dict)
    diff: t.Sequence[Diff] = ()


@dataclass(frozen=True)
class Built(StepResult):
    """Result of `image_build`."""

    #: Roles whose images were really built.
    built: t.Sequence[str]
    #: Role → directory with the files of its image and ``image.json``.
    bundles: t.Mapping[str, str]
    #: Role → package → old and new version, of what its plan did not know yet; null without a plan.
    packages: t.Optional[t.Mapping[str, PackageChanges]] = None
    diff: t.Sequence[Diff] = ()


@dataclass(frozen=True)
class Fared(StepResult):
    """How nodes fared: result of `deployment_switch`, `deployment_destroy`, `config_push` and `keys_rotate`."""

    #: By name.
    nodes: t.Mapping[str, NodeResult]
    #: Nodes that are not what was asked for.
    failed_nodes: t.Sequence[str]
    diff: t.Sequence[Diff] = ()
    #: A hook that has to run before this step, called again, goes on.
    ask: t.Optional[Ask] = None


@dataclass(frozen=True)
class Checked(StepResult):
    """Result of `deployment_verify`."""

    nodes: t.Mapping[str, NodeResult]
    #: Nodes with a failed check.
    failed_nodes: t.Sequence[str]
    #: How many checks ``passed`` and ``failed``; null if nothing was checked, because a step before came to nothing.
    checks: t.Optional[t.Mapping[str, int]] = None
    #: Why the test script failed; empty if it did not.
    message: t.Optional[str] = None
    #: Number of the kept release that the nodes were held against.
    release: t.Optional[int] = None
    #: What a script of the user has recorded.
    records: t.Optional[t.Sequence[Measurement]] = None
    #: Directory of its results.
    results: t.Optional[str] = None
    #: What it copied from machines, relative to that.
    files: t.Optional[t.Sequence[str]] = None
    #: What it ran on.
    provenance: t.Optional[Provenance] = None
    #: A hook that has to run before this step, called again, goes on.
    ask: t.Optional[Ask] = None


@dataclass(frozen=True)
class Settled(StepResult):
    """Result of `deployment_settle`."""

    #: The last word on each node of the batch.
    nodes: t.Mapping[str, NodeResult]
    #: Nodes that are not what was asked for.
    failed_nodes: t.Sequence[str]
    #: Number of the release that runs now, after going back that of before; null if what runs was never released.
    release: t.Optional[int]
    #: What runs now and how to log in, for people.
    summary: t.Sequence[str]
    #: Nodes that were retired; null if nothing was released.
    retired: t.Optional[t.Sequence[str]] = None
    #: Why the run went back; empty if it did not.
    veto: str = ""
    #: A hook that has to run before this step, called again, goes on; `end` runs after it.
    ask: t.Optional[Ask] = None


@dataclass(frozen=True)
class Evaluated(StepResult):
    """Result of `composition_info` and `composition_evaluate`."""

    #: Content of ``composition.json``.
    composition: Composition


@dataclass(frozen=True)
class Locked(StepResult):
    """Result of `composition_lock`."""

    #: The lock file.
    path: str
    diff: t.Sequence[Diff] = ()


@dataclass(frozen=True)
class Reproduced(StepResult):
    """Result of `image_reproduce`."""

    #: ``composition/role`` → what differs; empty if nothing does.
    images: t.Mapping[str, str]


@dataclass(frozen=True)
class Exported(StepResult):
    """Result of `nxc_export`."""

    #: Path of the deployment file.
    deployment_file: str
    #: Path of the role distribution.
    distribution_file: str
    #: Options for ``nxc start``: what a file cannot say.
    distribution_options: t.Sequence[str]


@dataclass(frozen=True)
class Paged(StepResult):
    """Result of `deployment_page`."""

    #: Path of the page.
    page: str
