# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether directories are at what they follow. PRIVATE to the collection."""

from __future__ import annotations

import json
import typing as t
from dataclasses import replace

from ..errors import InputError
from ..model import codec
from ..model.follow import Follow, Followed, Follows
from ..model.report import Check
from ..nodes.probe import Facts
from ..nodes.words import clean
from .report import FOLLOW

#: Digits of a commit that people are told.
COMMIT = 12


def followed(facts: Facts) -> dict[str, Followed]:
    """What a node says of its directories, by path. What it cannot have said is not listened to."""
    found = {}
    for line in facts.get("follow", ()):
        try:
            told = codec.decode(Followed, json.loads(line), "follow")
        except (InputError, ValueError):
            continue
        found[told.path] = replace(
            told,
            revision=clean(told.revision),
            seen=clean(told.seen),
            problem=clean(told.problem).strip(),
            differs=tuple(map(clean, told.differs)),
        )
    return found


def follow_checks(node: str, expected: Follows, facts: Facts) -> t.Iterator[Check]:
    """A result for each directory of a node."""
    said = followed(facts)
    for path, follow in expected.items():
        told = said.get(path)
        wrong = what_is_wrong(follow, told)
        revision = told.revision if told else ""
        yield Check(f"{FOLLOW}{path}", not wrong, node, wrong or _well(follow, told), revision=revision, seen=revision)


def what_is_wrong(follow: Follow, told: Followed | None) -> str:
    """Why a directory is not what it should be; empty if it is."""
    if told is None:
        return "the node does not say which revision it has"
    because = f": {told.problem}" if told.problem else ""
    if not told.revision:
        pushed = "" if follow.every or because else ": nothing was pushed, see the playbook config"
        return f"has no revision of {follow.repository} yet{because}{pushed}"
    at = told.revision[:COMMIT]
    if follow.pinned and told.revision != follow.revision:
        return f"is at {at}, expected {follow.revision[:COMMIT]}{because}"
    if told.seen != told.revision:
        return f"is at {at}, expected {told.seen[:COMMIT]}, which is {follow.revision}{because}"
    if told.differs:
        return f"differs from {at}: {', '.join(told.differs)}"
    if follow.limit is not None and told.age > follow.limit:
        return f"is at {at}, which {follow.revision} was {told.age} s ago, expected at most {follow.limit} s{because}"
    return ""


def _well(follow: Follow, told: Followed | None) -> str:
    problem = f", but for the moment: {told.problem}" if told and told.problem else ""
    return f"{follow.revision} at {told.revision[:COMMIT]}{problem}" if told else ""
