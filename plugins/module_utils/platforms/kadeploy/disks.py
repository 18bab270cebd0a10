# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which disks of its machine a node has for its data volumes, and what is refused of that. PRIVATE to the collection.

A node prepares them itself, when it boots: nobody else can tell what is on them. Whose a file system is, its UUID says.
"""

from __future__ import annotations

import re
import typing as t
import uuid

from ...describe.options import words_of
from ...describe.ownership import Owner
from ...errors import InputError
from ...model.deployment import Deployment, Node
from ...model.document import Disk
from ...model.result import Problem
from ..problems import noting

#: What each word of ``volumes`` and ``raw_disks`` looks like, and in words.
PATTERN = r"[a-z0-9][a-z0-9-]{0,19}=(disk[0-9]+|/dev/disk/by-[a-z]+/\S+)"
EXPECTED = "a name and a disk, as db=disk1 or db=/dev/disk/by-partlabel/KDPL_TMP_disk0"
#: Where Grid'5000's own rules for devices have the disks by the names that OAR has for them.
_ALIASES = "/dev/"
#: UUIDs that are made of names are made in a space of names: this one is of this collection.
_SPACE = uuid.UUID("5d6a0a5c-6d4e-4c0c-9f5e-1f6f0c8e7a11")
_SCRATCH = re.compile(r"disk(\d+)")
#: Partitions of a site's own, by their label.
_PARTITION = re.compile(r"/dev/disk/by-partlabel/(?:KDPL_(?P<label>\w+?)_disk\d+|efi)")


def named(node: Node, option: str) -> dict[str, str]:
    """Name → disk, of ``volumes`` or ``raw_disks``."""
    return dict(t.cast("tuple[str, str]", tuple(word.split("=", 1))) for word in words_of(node.options, option))


def disks_of(deployment: Deployment, node: Node) -> tuple[Disk, ...]:
    """What the node is told of them."""
    volumes = []
    for name, disk in named(node, "volumes").items():
        owner = f"volume {name!r} of {Owner.of(deployment, node.name, node.role)}"
        wipe, adopt = name in words_of(node.options, "wipe"), node.name in deployment.adopt_data
        volumes.append(Disk(name, _device(disk), owner, str(uuid.uuid5(_SPACE, owner)), wipe, adopt))
    return (*volumes, *(Disk(name, _device(disk)) for name, disk in named(node, "raw_disks").items()))


def _device(disk: str) -> str:
    return _ALIASES + disk if _SCRATCH.fullmatch(disk) else disk


def scratch(nodes: t.Iterable[Node]) -> int:
    """The highest number of a scratch disk that nodes have; 0: they have none."""
    disks = [disk for node in nodes for option in ("volumes", "raw_disks") for disk in named(node, option).values()]
    return max((int(match[1]) for disk in disks if (match := _SCRATCH.fullmatch(disk))), default=0)


def without(nodes: t.Sequence[Node], volumes: t.Mapping[str, t.Collection[str]]) -> list[Problem]:
    """The nodes with data volumes for which no disk is given.

    :param volumes: role → names of its data volumes.
    """
    lacking = [
        (node, [name for name in volumes.get(node.role, ()) if name not in named(node, "volumes")]) for node in nodes
    ]
    return [
        Problem(
            f"role {node.role!r} has data volumes for which no disk is given: {', '.join(names)}",
            key="volumes",
            node=node.name,
            remedy=f"the option 'volumes' of the role or the node says {EXPECTED}",
        )
        for node, names in lacking
        if names
    ]


def wrong(nodes: t.Sequence[Node], lent: bool | None) -> list[Problem]:
    """The nodes that would get a disk which is not theirs to have, or one twice.

    :param lent: whether their reservation has the scratch disks; ``None`` where somebody else has reserved them.
    """
    problems: list[Problem] = []
    for node in nodes:
        users: dict[str, str] = {}
        for option in ("volumes", "raw_disks"):
            words = words_of(node.options, option)
            for name, disk in (word.split("=", 1) for word in words):
                with noting(problems, node.name, key=option):
                    _require_free(node, f"{option}: {name}={disk}", disk, lent)
                    if name in users.values():
                        raise InputError(f"{option}: {name}={disk}: {name!r} has a disk already")
                    if disk in users:
                        raise InputError(f"{option}: {name}={disk}: {users[disk]!r} has that disk already")
                    users[disk] = name
        with noting(problems, node.name, key="wipe"):
            for name in words_of(node.options, "wipe"):
                if name not in named(node, "volumes"):
                    raise InputError(f"wipe has {name!r}, expected names of 'volumes'")
    return problems


def _require_free(node: Node, where: str, disk: str, lent: bool | None) -> None:
    number, partition = _SCRATCH.fullmatch(disk), _PARTITION.fullmatch(disk)
    if number and int(number[1]) == 0:
        raise InputError(f"{where}: disk0 is the system disk; only its partition TMP can be used")
    if number and lent is False:
        raise InputError(f"{where}: the reservation has no scratch disks; 'disks: true' in it reserves them, too")
    if partition and (partition["label"] != "TMP" or str(node.options.get("partition") or "").upper() == "TMP"):
        raise InputError(f"{where}: that partition is the system's; the one for data is TMP, if no system is there")
