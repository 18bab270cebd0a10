# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers of the users and groups in images: whom files belong to. PRIVATE to the collection."""

from __future__ import annotations

import re
import typing as t

from ..model.numbers import Numbers

_ACCOUNT = re.compile(r"(?P<kind>user|group) (?P<name>\S+) (?P<number>[0-9]{1,10})")


def read_numbers(text: str) -> Numbers:
    """What a build says of an image: lines ``user NAME NUMBER`` and ``group NAME NUMBER``.

    Other lines are of what is no account, such as ``+`` of NIS.
    """
    found: dict[str, dict[str, int]] = {"user": {}, "group": {}}
    for account in filter(None, map(_ACCOUNT.fullmatch, text.splitlines())):
        found[account["kind"]][account["name"]] = int(account["number"])
    return Numbers(found["user"], found["group"])


def others(old: Numbers, new: Numbers) -> list[str]:
    """Who has another number in a new image, and whose number another has there: each in words.

    :param old: of the image under which files were made.
    :param new: as far as they are known.
    """
    return [*_others("user", old.users, new.users), *_others("group", old.groups, new.groups)]


def _others(kind: str, old: t.Mapping[str, int], new: t.Mapping[str, int]) -> t.Iterator[str]:
    names: dict[int, list[str]] = {}
    for name, number in sorted(new.items()):
        names.setdefault(number, []).append(name)
    for name, number in sorted(old.items()):
        if name in new:
            if new[name] != number:
                yield f"the {kind} {name!r} is {number}, and {new[name]} in the new image"
        elif number in names and not any(old.get(other) == number for other in names[number]):
            yield f"the {kind} {name!r} is {number}, which is {names[number][0]!r} in the new image"
