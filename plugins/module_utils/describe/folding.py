# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fold`` of a deployment file: nodes that run on the machines of another deployment. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ..errors import InputError, nearest, shown
from ..model.codec import decode
from ..model.deployment import Fold, Node
from ..model.shape import plain
from . import values
from .options import PlatformFacts
from .values import Unchecked

KEYS = ("onto", "by", "place")
PLACES = ("spread", "pack")


def parse_fold(
    value: object,
    name: str,
    deployments: t.Mapping[str, t.Sequence[str]],
    held: t.Callable[[str], Unchecked],
    where: str,
) -> Fold | None:
    """What the nodes are folded onto, or ``None`` if the file says nothing of it.

    :param name: of the deployment.
    :param deployments: nodes of the others that are known, by deployment.
    :param held: all variables of one of them.
    :raises InputError: there is no such deployment, or its machines cannot be told apart so.
    """
    if value is None:
        return None
    entry = values.mapping(value, where)
    values.known(entry, KEYS, where, "key of 'fold'")
    onto = values.host_name(entry.get("onto"), f"{where}.onto")
    if onto == name:
        raise InputError(f"{where}.onto is {shown(onto)}, the deployment itself: expected another one")
    machines = deployments.get(onto, ())
    if not machines:
        raise InputError(
            f"{where}.onto is {shown(onto)}, expected a deployment with nodes, of the inventory sources read before "
            f"this one{nearest(onto, deployments)}; those of a directory are read in alphabetical order"
        )
    variables = {machine: held(machine) for machine in machines}
    first = variables[machines[0]]
    if "compose_fold" in first:
        raise InputError(
            f"{where}.onto is {shown(onto)}, whose own nodes are folded: expected a deployment that has machines"
        )
    by = values.text(entry.get("by"), f"{where}.by")
    return Fold(
        onto=onto,
        state=decode(str, plain(first.get("compose_state")), f"variable compose_state of host {machines[0]!r}"),
        machines={machine: _kind(machine, by, variables[machine], f"{where}.by") for machine in machines},
        by=by,
        place=values.one_of(entry.get("place", "spread"), PLACES, f"{where}.place"),
    )


def _kind(machine: str, by: str, variables: Unchecked, where: str) -> str:
    """What a machine is told apart by. :raises InputError: it does not say."""
    if not by:
        return ""
    kind = variables.get(by)
    if isinstance(kind, bool) or not isinstance(kind, (str, int)):
        had = "does not have" if kind is None else "has no text or number in"
        raise InputError(
            f"{where} is {shown(by)}, which machine {machine!r} {had}; expected a variable of all machines: in "
            "'variables' of their deployment file, in group_vars or in host_vars"
        )
    return str(kind)


def folded_platforms(
    platforms: t.Mapping[str, type[PlatformFacts]], is_folded: bool, name: object, path: str
) -> t.Mapping[str, type[PlatformFacts]]:
    """The platforms as a deployment file knows them, by the names that it has for them.

    :param name: the one that it names, whatever that is.
    :raises InputError: nodes of that platform cannot be folded, or it is not for a file to name.
    """
    kind = platforms.get(name) if isinstance(name, str) else None
    if kind is not None and kind.is_fold:
        raise InputError(f"{path}: platform is {shown(name)}: expected another one, whose nodes 'fold' places")
    if kind is None or not is_folded:
        return platforms
    if not kind.folded:
        able = ", ".join(each for each, other in platforms.items() if other.folded)
        raise InputError(f"{path}: fold: nodes of platform {name!r} cannot be folded, expected platform {able}")
    return {kind.name: platforms[kind.folded]}


def require_machines(fold: Fold, nodes: t.Iterable[Node], path: str) -> None:
    """:raises InputError: a node is to be on a machine that is not there."""
    for node in nodes:
        machine = node.options.get("machine")
        if machine is not None and machine not in fold.machines:
            raise InputError(
                f"{path}: option 'machine' of node {node.name!r} is {shown(machine)}, expected a node of deployment "
                f"{fold.onto!r}{nearest(str(machine), fold.machines)}"
            )
