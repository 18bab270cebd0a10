# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of a step: in words that mean the same in every step. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..errors import CommandError, ComposeError

#: Marks a field that is told whatever its value.
ALWAYS = {"always": True}


@dataclass(frozen=True)
class Problem:
    """Why something did not work: message and remedy suffice to act, the rest says where."""

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
    #: What to do, where that is the same for many: then it is told once.
    remedy: str = ""

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
        words = f"{self.message}; {self.remedy}" if self.remedy else self.message
        return f"{where}: {words}" if where else words


@dataclass(frozen=True)
class Evidence:
    """What a node that failed its checks has said of itself."""

    brief: t.ClassVar[bool] = True

    #: Names of the failed checks.
    checks: t.Sequence[str] = ()
    #: The last lines of each; empty where they cannot be had, and for nodes beyond the first ten that failed.
    journal: str = ""
    console: str = ""


@dataclass(frozen=True)
class NodeResult:
    """How one node fared: in a step, or in the whole run."""

    brief: t.ClassVar[bool] = True

    #: Whether the node is what was asked for.
    ok: bool = field(default=True, metadata=ALWAYS)
    #: Whether anything was done to it.
    changed: bool = field(default=False, metadata=ALWAYS)
    #: Why it is not ok, or what was done.
    message: str = ""
    #: Whether it does not answer: then nobody knows what it is like.
    silent: bool = False
    #: Identity of the image that it was taken back to.
    back_on: t.Optional[str] = None
    #: It was not touched, because another failed before its turn. Then it is not ``ok``.
    left: bool = False
    #: Where ``message`` comes from, as far as that is known.
    problem: t.Optional[Problem] = None
    #: Directories that follow a git repository → commit that they are at.
    follow: t.Mapping[str, str] = field(default_factory=dict)
    #: Why it was changed though it is sealed, by whom and when; until it boots again.
    unsealed: t.Sequence[str] = ()
    #: Of failed checks.
    evidence: Evidence = field(default_factory=Evidence)

    @property
    def failed(self) -> bool:
        """The node itself is at fault: it is not as it should be, and was not just left as it was."""
        return not self.ok and not self.left
