# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that follow a git repository: as they are meant, and as nodes have them. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

#: Seconds of the units in which a role says how often a node looks.
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
#: Times that a node may look in vain, and seconds besides, before what it has counts as too old.
_IN_VAIN, _BESIDES = 3, 60


@dataclass(frozen=True)
class Follow:
    """How a directory of a role follows a git repository."""

    brief: t.ClassVar[bool] = True

    #: URL, without a password.
    repository: str
    #: Branch, tag, or all 40 digits of a commit.
    revision: str
    #: Command that looks at a new revision in the directory ``%s``, before it is taken; empty: none.
    check: str = ""
    #: Command that tells services of a new revision; empty: none.
    reload: str = ""
    #: How long a node waits until it looks again (``5min``); empty: it does not look, revisions are pushed to it.
    every: str = ""
    #: Name of the secret that logs in to the repository; empty: none.
    secret: str = ""

    @property
    def pinned(self) -> bool:
        """Whether one commit is meant, and never another."""
        return len(self.revision) == 40 and not set(self.revision) - set("0123456789abcdef")

    @property
    def limit(self) -> int | None:
        """Seconds after which a node must have looked again; ``None``: it does not look, or need not."""
        number = self.every.rstrip("sminhd")
        if not number or self.pinned:
            return None
        return _IN_VAIN * int(number) * _SECONDS[self.every[len(number) :]] + _BESIDES


#: Path → what it follows.
Follows = t.Mapping[str, Follow]


def pushed(follows: Follows) -> dict[str, Follow]:
    """Those directories that do not look for themselves."""
    return {path: follow for path, follow in follows.items() if not follow.every}


@dataclass(frozen=True)
class Followed:
    """What a node says of such a directory."""

    #: A newer image may say more.
    ignores_unknown: t.ClassVar[bool] = True

    path: str
    #: Commit that it is at; empty: none yet.
    revision: str
    #: Commit that was meant when that was last known; empty: never.
    seen: str
    #: Seconds since then; -1: never.
    age: int
    #: Why that was not taken, or why it is not known what is meant now; empty: nothing is wrong.
    problem: str
    #: What is not as the commit has it, by path from the directory; ``.`` is the directory itself.
    differs: tuple[str, ...] = ()
