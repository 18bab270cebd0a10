# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Kadeploy is asked for, what comes of it, and what its errors mean. PRIVATE to the collection."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ...errors import ComposeError

#: Kadeploy's number of the error of an operation that it does not know.
UNKNOWN = 1
#: Kadeploy's error number → what a user can do about it.
_MEANINGS: t.Mapping[int, str] = {
    UNKNOWN: "Kadeploy does not know this operation (any more): it was cancelled, or the job of its nodes is over",
    2: "a node does not exist at this site, or its name has another form",
    3: "Kadeploy cannot fetch a file that is on this side: give a path on the server, or an address",
    5: "Kadeploy cannot read a file: see directory_url and postinstalls",
    6: "this user has no right to deploy on all of these nodes: the job has not begun, is over, or not of type deploy",
    7: "Kadeploy does not accept the description of the environment",
    14: "all nodes are busy with another operation: wait for its end",
    20: "the database of Kadeploy is out of order: run again, or ask the administrators of the site",
    21: "the cache of Kadeploy does not take this file: it may be larger than the whole cache",
    22: "the cache of Kadeploy is full of files that are in use: wait for the end of other deployments",
}

#: Why a node failed, as Kadeploy says it: ``MACROSTEP-microstep: reason``, of 3.3 as of 3.9.
_FAILURE = re.compile(r"^(?P<macro>[A-Za-z]\w*)-(?P<micro>\w*): (?P<reason>.*)$", re.DOTALL)


class KadeployError(ComposeError):
    """Kadeploy refused something.

    :param code: Kadeploy's number of it; 0 where it gave none.
    :param text: Kadeploy's words.
    """

    def __init__(self, what: str, code: int, text: str) -> None:
        self.code = code
        self.text = text.strip()
        meaning = _MEANINGS.get(code, "")
        super().__init__(f"Kadeploy refused {what}: {self.text}" + (f" ({meaning})" if meaning else ""))


@dataclass(frozen=True)
class Failure:
    """Why a node was not deployed.

    :param step: ``MACROSTEP-microstep``; empty where Kadeploy said none.
    """

    step: str
    reason: str

    @classmethod
    def read(cls, text: str) -> Failure:
        """From Kadeploy's words."""
        match = _FAILURE.match(text.strip())
        if match is None:
            return cls("", text.strip() or "no reason was given")
        return cls(f"{match['macro']}-{match['micro']}", match["reason"].strip())

    def __str__(self) -> str:
        return f"{self.step}: {self.reason}" if self.step else self.reason


#: Fields of a description as Kadeploy documents them; what is not known there is nobody's to type.
Description = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class Order:
    """A deployment.

    :param nodes: names, each once.
    :param environment: what is deployed, which nobody registers.
    :param partition: number (3.3) or label (3.9 and later); the site's own, if empty.
    """

    nodes: t.Sequence[str]
    environment: Description
    partition: str = ""

    @property
    def name(self) -> str:
        """By which it is known again: that of the environment."""
        return str(self.environment["name"])


@dataclass(frozen=True)
class UnderWay:
    """A deployment that Kadeploy has not forgotten.

    :param environment: name of what is deployed.
    :param done: it has ended.
    """

    identifier: str
    environment: str
    nodes: frozenset[str]
    done: bool


@dataclass(frozen=True)
class Outcome:
    """What came of a deployment.

    :param asked: the nodes of the order.
    :param error: why it failed as a whole; then no node is deployed.
    """

    identifier: str
    asked: t.Sequence[str]
    ok: t.Sequence[str] = ()
    failed: t.Mapping[str, Failure] = field(default_factory=dict)
    error: KadeployError | None = None

    @property
    def lost(self) -> list[str]:
        """Nodes of which nothing was said: they were busy, and left out without a word."""
        if self.error is not None:
            return []
        return [node for node in self.asked if node not in self.ok and node not in self.failed]

    def reasons(self) -> dict[str, str]:
        """Node → why it is not deployed."""
        if self.error is not None:
            return dict.fromkeys(self.asked, self.error.text)
        lost = dict.fromkeys(self.lost, "left out by Kadeploy, which does not say why: it was busy")
        return {**{node: str(failure) for node, failure in self.failed.items()}, **lost}
