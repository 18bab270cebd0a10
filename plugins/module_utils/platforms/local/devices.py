# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices of this host that containers are lent. PRIVATE to the collection."""

from __future__ import annotations

import os
import stat
import typing as t

from ...describe.options import Option, words_of
from ...model.deployment import Node
from ...model.result import Problem

#: Of every platform whose nodes are containers.
DEVICES = Option(
    list,
    [],
    "Devices of this host that the node may use, such as V(/dev/fuse). A block device, such as V(/dev/sdb), is "
    "for one node of a deployment, and must not be mounted on this host; what is on it is left as it is.",
    pattern=r"/dev/[^,:\s]+",
    expected="paths of devices below /dev",
)


def unusable(nodes: t.Sequence[Node], members: t.Sequence[Node]) -> list[Problem]:
    """The devices of these nodes that they cannot have.

    :param members: all nodes of the deployment.
    """
    holders: dict[int, list[str]] = {}
    for node in members:
        for number in {_number(path) for path in words_of(node.options, "devices")} - {None}:
            holders.setdefault(t.cast(int, number), []).append(node.name)
    mounted = _mounted()

    def why_not(path: str) -> str:
        try:
            mode = os.stat(path).st_mode
        except OSError as error:
            return f"{path}: {error.strerror}"
        if not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)):
            return f"{path} is not a device"
        number = _number(path)
        if number in mounted:
            return f"{path} is mounted on this host, at {mounted[number]}"
        held = holders.get(number, []) if number is not None else []
        return f"{path} would be used by several nodes at once: {', '.join(sorted(held))}" if len(held) > 1 else ""

    return [
        Problem(why, key="devices", node=node.name)
        for node in nodes
        for why in map(why_not, words_of(node.options, "devices"))
        if why
    ]


def _number(path: str) -> int | None:
    """Of a device with blocks; ``None`` for anything else."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_rdev if stat.S_ISBLK(found.st_mode) else None


def _mounted() -> dict[int, str]:
    """Number of a device → where it is mounted, see proc_pid_mountinfo(5)."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as stream:
        rows = [line.split() for line in stream]
    return {os.makedev(*map(int, row[2].split(":"))): row[4] for row in rows}
