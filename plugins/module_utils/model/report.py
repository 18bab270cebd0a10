# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was checked, and how it went: ``results.json``. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class CheckDetails:
    """Where a test script failed, as far as that is known."""

    brief: t.ClassVar[bool] = True

    #: Number of the line.
    line: t.Optional[int] = None
    #: The line itself.
    source: t.Optional[str] = None
    #: Lines that led there, the outermost first.
    called_from: t.Optional[t.Sequence[int]] = None
    #: What was run on the node, its exit code and its output.
    command: t.Optional[str] = None
    returncode: t.Optional[int] = None
    output: t.Optional[str] = None

    def __str__(self) -> str:
        return "\n".join(f"{key}: {value}" for key, value in vars(self).items() if value is not None)

    def masked(self, mask: t.Callable[[str], str]) -> CheckDetails:
        """The same for other eyes."""
        return replace(
            self,
            source=self.source and mask(self.source),
            command=self.command and mask(self.command),
            output=self.output and mask(self.output),
        )


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    #: ``reachable``, ``identity``, ``units``, ``port N``, ``follow PATH``, ``testScript``, ``testScript: SUBTEST``,
    #: ``after the script``.
    name: str
    ok: bool
    #: Null where the result belongs to no node, or to an unknown one.
    node: t.Optional[str] = None
    #: Why it failed; if it did not, what is worth knowing nevertheless.
    message: str = ""
    #: How long it took.
    seconds: float = 0.0
    #: Of a failed test script.
    details: CheckDetails = field(default_factory=CheckDetails)
    #: Commit that a directory is at which follows a git repository; empty for all else.
    revision: str = ""
    #: What was looked at, and what was there, if it did not fail.
    seen: str = ""

    def __str__(self) -> str:
        return f"{self.node}: {self.words}" if self.node else self.words

    @property
    def words(self) -> str:
        """The result without the node's name."""
        return f"{self.name}: {'ok' if self.ok else self.message}"


@dataclass(frozen=True)
class Measurement:
    """A value that a script reported: ``record(name, value, unit)``."""

    name: str
    value: t.Union[bool, int, float, str]
    #: Such as `s` or `MB/s`; empty: none.
    unit: str = ""


@dataclass(frozen=True)
class MachineProfile:
    """What a node is made of, as it says itself."""

    #: Release of the kernel.
    kernel: str
    #: Name of the processor; empty where the kernel tells none.
    processor: str = ""
    processors: int = 0
    #: MiB.
    memory: int = 0


@dataclass(frozen=True)
class Provenance:
    """What a script of the user ran on."""

    #: Name of the composition, its digest, and its git commit; null outside a repository.
    composition: str
    digest: str
    revision: t.Optional[str]
    #: Number of the release.
    release: int
    builder: str
    platform: str
    #: Name of the host that builds, and that runs local machines.
    host: str
    #: Role → identity of the image, of nodes that the script could use.
    images: t.Mapping[str, str]
    #: Node → role.
    nodes: t.Mapping[str, str]
    #: Node → what it is made of, of those that answered.
    machines: t.Mapping[str, MachineProfile] = field(default_factory=dict)


@dataclass(frozen=True)
class ScriptReport:
    """How the test script went."""

    ok: bool
    #: False: it was not even started, as ``message`` says.
    ran: bool = True
    #: Why it failed, with line and source.
    message: str = ""
    #: Number of the line, where one is known.
    line: t.Optional[int] = None
    #: The node whose method failed, in the batch or not; null if no node is to blame.
    node: t.Optional[str] = None


@dataclass(frozen=True)
class ReportDocument:
    """Results of a verification."""

    deployment: str
    #: No check failed.
    ok: bool
    #: Nodes that were verified.
    batch: t.Sequence[str]
    #: Of these, those that failed a check, or that the test script blames.
    failed_nodes: t.Sequence[str]
    #: What failed and is no node's of the batch, but the deployment's; empty if nothing.
    problem: str
    #: Null where there is none to run.
    script: t.Optional[ScriptReport]
    checks: t.Sequence[Check]
    #: Failed node → ``journal`` and ``console``, the last lines of each.
    evidence: t.Mapping[str, t.Mapping[str, str]]
    #: What the test script has recorded.
    records: t.Sequence[Measurement] = ()
    schema: t.Literal["immutable.compose/report/1"] = "immutable.compose/report/1"
