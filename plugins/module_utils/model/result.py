# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of a step: in words that mean the same in every step. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..errors import CommandError, ComposeError


@dataclass(frozen=True)
class Problem:
    """Why something did not work: the message alone suffices to act, the rest says where."""

    message: str
    file: t.Optional[str] = None
    #: Path of a value in the file.
    key: t.Optional[str] = None
    node: t.Optional[str] = None
    step: t.Optional[str] = None
    command: t.Optional[str] = None
    exit_code: t.Optional[int] = None
    #: Its last lines.
    output: str = ""

    @classmethod
    def of(cls, error: ComposeError) -> Problem:
        """What an error says."""
        if isinstance(error, CommandError):
            told: dict[str, t.Any] = {
                "command": error.command,
                "exit_code": error.returncode,
                "output": "\n".join(error.output.strip().splitlines()[-20:]),
            }
        else:
            told = {}
        return cls(error.message, node=error.node, step=error.step, **told)

    def __str__(self) -> str:
        """As :class:`ComposeError` says it."""
        where = ", ".join(part for part in (self.step, self.node) if part)
        return f"{where}: {self.message}" if where else self.message


@dataclass(frozen=True)
class NodeResult:
    """How one node fared in one step."""

    #: It is as the step wants it.
    ok: bool = True
    #: Something was done to it.
    changed: bool = False
    #: It was not touched, because another failed before its turn. Then it is not ``ok``.
    left: bool = False
    #: It was not touched, because it is well already.
    spared: bool = False
    #: Identity of the verified image that it was brought back to.
    back_on: t.Optional[str] = None
    #: What was done, in words.
    note: str = ""
    problem: t.Optional[Problem] = None

    @property
    def failed(self) -> bool:
        """The node itself is at fault: it is neither as it should be, nor was it just left as it was."""
        return not self.ok and not self.left

    @property
    def message(self) -> str:
        """What to tell people."""
        return str(self.problem) if self.problem else self.note


@dataclass(frozen=True)
class StepResult:
    """How one step of one deployment went."""

    step: str
    deployment: str
    changed: bool = False
    #: By name, for the nodes that the step was about.
    nodes: t.Mapping[str, NodeResult] = field(default_factory=dict)
    #: What concerns the deployment as a whole; every node of it says so.
    problem: t.Optional[Problem] = None

    @property
    def failed_nodes(self) -> list[str]:
        """Names of the nodes that are not as they should be."""
        return sorted(name for name, result in self.nodes.items() if not result.ok)
