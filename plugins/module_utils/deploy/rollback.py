# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kept release a run goes to that does not go to what the composition means. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from contextlib import suppress

from ..errors import ComposeError
from ..model.boot import Seen
from ..model.release import Release
from .engine import Engine
from .journal import JournalFile


def kept_release(engine: Engine, journal: JournalFile, wanted: str, observed: t.Mapping[str, Seen]) -> Release:
    """The one before is the current one where nodes run what was never verified, but for a rollback that was killed.

    Nodes that run what was verified before may wait for their turn: the current one is not rolled out to them.

    :param wanted: a number, ``current`` or ``previous``.
    """
    releases, progress = engine.releases, engine.progress
    current = releases.current()
    if wanted == "previous" and current is not None:
        begun = _begun(journal)
        if begun in releases.numbers():
            progress.say(f"plan: continuing the rollback to release {begun}, which an earlier run has not finished")
            return releases.find(str(begun))
        strays = [
            node.name
            for node in engine.nodes
            if observed[node.name].state != "absent"
            and observed[node.name].identity not in (current.image(node.name, node.role), observed[node.name].verified)
        ]
        if strays:
            progress.say(f"plan: {strays[0]} does not run release {current.number}: going back to that")
            return current
    return releases.find(wanted)


def _begun(journal: JournalFile) -> int | None:
    """To which release a run was on its way that was killed, if that was asked for the one before, too."""
    with suppress(ComposeError):  # there was no such run, or nobody can tell
        plan = journal.read().plan
        return plan.release if plan.previous else None
    return None
