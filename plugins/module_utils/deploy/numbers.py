# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether data on volumes would belong to others under the images that nodes are going to boot. PRIVATE."""

from __future__ import annotations

import typing as t

from ..builders.base import Builder
from ..images.numbers import others
from ..model.numbers import Numbers
from ..model.plan import Change
from ..model.result import Problem
from ..platforms.problems import refuse
from ..progress import Progress, listed
from .release import ReleaseStore

#: Users and groups that a message names.
SHOWN = 5


def moved(
    releases: ReleaseStore, steps: t.Mapping[str, Change], numbers: t.Mapping[str, Numbers]
) -> dict[str, list[str]]:
    """Node → who has another number in the image that it is going to boot, each in words, as far as that is known.

    :param numbers: role → those of its image, where that is not built yet.
    """
    found: dict[tuple[str, str], list[str]] = {}
    nodes: dict[str, list[str]] = {}
    for name, step in steps.items():
        if step.action != "replace" or not (step.running and step.image) or step.running == step.image:
            continue
        key = (step.running, step.image)
        if key not in found:
            found[key] = _between(releases, *key, numbers.get(step.role, Numbers()))
        if found[key]:
            nodes[name] = found[key]
    return nodes


def _between(releases: ReleaseStore, running: str, meant: str, numbers: Numbers) -> list[str]:
    if not releases.has_image(running):
        return []
    old = releases.image(running)
    new = releases.image(meant).numbers if releases.has_image(meant) else numbers
    kept = sorted(name for name, volume in old.volumes.items() if volume.keep)
    if not (kept and old.numbers and new):
        return []
    return [f"data on {listed(kept)}: {words}" for words in others(old.numbers, new)]


def tell(builder: Builder, found: t.Mapping[str, t.Sequence[str]], step: str, progress: Progress) -> None:
    """:raises InputError: nodes of this builder do not give data to whom they belong; names them, and what to do."""
    if not builder.gives_back:
        refuse(
            [
                Problem(f"{words}: somebody else would have them", node=name, remedy=builder.how_to_number)
                for name, each in found.items()
                for words in _short(each)
            ]
        )
    nodes: dict[tuple[str, ...], list[str]] = {}
    for name, each in found.items():
        nodes.setdefault(tuple(_short(each)), []).append(name)
    for lines, names in nodes.items():
        for words in lines:
            progress.say(f"{step}: {listed(names)}: {words}; the node maps them when it boots")


def _short(lines: t.Sequence[str]) -> list[str]:
    return [*lines[:SHOWN], *([f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else [])]
