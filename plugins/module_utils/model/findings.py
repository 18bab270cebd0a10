# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What readers find between runs: vulnerable packages, and nodes that were changed. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .step import StepResult


@dataclass(frozen=True)
class Occurrence:
    """An affected version of a package, and where it is."""

    advisory: str
    package: str
    version: str
    #: Roles of the composition as it is now: what the next deploy boots.
    roles: t.Sequence[str]
    #: Identities of images that are kept here.
    images: t.Sequence[str]
    #: Numbers of kept releases.
    releases: t.Sequence[int]
    #: Nodes, also stopped ones, by the image that they run.
    nodes: t.Sequence[str]


@dataclass(frozen=True)
class NodeAudit:
    """What there is to say of the image of a node."""

    brief: t.ClassVar[bool] = True

    ok: bool
    #: What affects it, or why that is not known.
    message: str
    #: Identity of the image; empty if it is not known.
    image: str
    #: Directories that follow a git repository → commit that they are at.
    follow: t.Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Audited(StepResult):
    """Result of `audit_info`."""

    #: Whether anything is affected.
    affected: bool
    findings: t.Sequence[Occurrence]
    #: By name of each node that exists.
    nodes: t.Mapping[str, NodeAudit]
    #: Nodes that are affected, or whose image is not known here.
    failed_nodes: t.Sequence[str]
    #: What could not be looked at, and why.
    unknown: t.Sequence[str]
    #: All of this for people, as lines.
    table: t.Sequence[str]


@dataclass(frozen=True)
class Changes:
    """What is not as the image has it."""

    brief: t.ClassVar[bool] = True

    changed: t.Sequence[str] = ()
    added: t.Sequence[str] = ()
    deleted: t.Sequence[str] = ()


@dataclass(frozen=True)
class UnitChanges:
    """Units of systemd that are not as the image has them."""

    brief: t.ClassVar[bool] = True

    masked: t.Sequence[str] = ()
    unmasked: t.Sequence[str] = ()
    enabled: t.Sequence[str] = ()
    disabled: t.Sequence[str] = ()
    #: But for those that may fail.
    failed: t.Sequence[str] = ()


@dataclass(frozen=True)
class NodeDrift:
    """How a node differs from what was released."""

    brief: t.ClassVar[bool] = True

    #: It does not, as far as that is known.
    ok: bool
    #: All of it for people, or why nothing is known.
    message: str = ""
    #: It can be asked, and is not what was released.
    drifted: bool = False
    #: Identity of the image that it runs, if that is another one.
    running: str = ""
    files: Changes = field(default_factory=Changes)
    units: UnitChanges = field(default_factory=UnitChanges)
    users: Changes = field(default_factory=Changes)
    #: Why somebody has broken the seal, who and when.
    unsealed: t.Sequence[str] = ()
    #: Directories that follow a git repository → commit that they are at.
    follow: t.Mapping[str, str] = field(default_factory=dict)
    #: Those of them that differ from their commit → what of them differs.
    edited: t.Mapping[str, t.Sequence[str]] = field(default_factory=dict)
    #: What it could not be compared in, and why.
    unknown: t.Sequence[str] = ()


@dataclass(frozen=True)
class Drifted(StepResult):
    """Result of `drift_info`."""

    #: By name, of the batch.
    nodes: t.Mapping[str, NodeDrift]
    #: Nodes that differ, or that nothing is known of.
    failed_nodes: t.Sequence[str]
    #: Those that differ.
    drifted: t.Sequence[str]
    #: Number of the release that nodes are held against.
    release: int
    #: What could not be compared, and why.
    unknown: t.Sequence[str] = ()


@dataclass(frozen=True)
class Findings:
    """What one of the readers found the last time that it looked."""

    #: UTC, ``2026-01-31T12:00:00Z``.
    time: str
    #: Of `drift_info`.
    drift: t.Optional[Drifted] = None
    #: Of `audit_info`.
    audit: t.Optional[Audited] = None
    schema: t.Literal["immutable.compose/findings/1"] = "immutable.compose/findings/1"
