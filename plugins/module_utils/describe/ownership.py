# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For whom data volumes were made, and who may have them. PRIVATE to the collection.

A platform writes an :class:`Owner` beside the data before the data is used first, and has it compared before anything
is touched: a name says nothing about whose data it is.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..errors import InputError, shown
from ..model.deployment import Deployment, Node
from ..model.result import Problem
from . import values


@dataclass(frozen=True)
class Owner:
    """The node that a data volume was made for."""

    deployment: str
    #: Name of the composition.
    composition: str
    role: str
    node: str
    schema: t.Literal["immutable.compose/owner/1"] = "immutable.compose/owner/1"

    @classmethod
    def of(cls, deployment: Deployment, node: str, role: str) -> Owner:
        """The owner of what is made for a node of a deployment now."""
        return cls(deployment.name, deployment.composition_name, role, node)

    def __str__(self) -> str:
        return (
            f"role {self.role!r} of composition {self.composition!r} (node {self.node!r} of deployment "
            f"{self.deployment!r})"
        )


@dataclass(frozen=True)
class DataVolume:
    """A data volume that exists on a platform."""

    #: As the role calls it.
    name: str
    #: Where it is: a path, or the platform's own name for it.
    place: str
    #: For whom it was made; ``None`` if nothing says so: then it belongs to the node that it lies at.
    owner: Owner | None = None


def parse_adopting(value: object, nodes: t.Sequence[Node], where: str) -> tuple[str, ...]:
    """``adopt_data`` of a deployment file: the nodes that may take over data of others.

    :raises InputError: no list, or something in it is no node of the deployment.
    """
    names = [] if value is None else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{where} is {shown(names)}, expected a list of nodes")
    values.known(names, [node.name for node in nodes], where, "node of the deployment")
    return tuple(dict.fromkeys(names))


def foreign_data(
    deployment: Deployment, nodes: t.Iterable[Node], volumes: t.Mapping[str, t.Sequence[DataVolume]]
) -> list[Problem]:
    """The nodes that would get data of another role, composition or deployment, and that ``adopt_data`` does not name.

    :param volumes: those that exist, by node.
    """
    found: dict[str, str] = {}
    for node in nodes:
        if node.name in deployment.adopt_data:
            continue
        own = Owner.of(deployment, node.name, node.role)
        foreign = [volume for volume in volumes.get(node.name, ()) if volume.owner not in (None, own)]
        if foreign:
            named = ", ".join(f"{volume.name!r} ({volume.place})" for volume in foreign)
            found[node.name] = f"node {node.name!r} would get the data volume {named} of {foreign[0].owner}"
    remedy = (
        "give other names to the nodes, or remove the data (playbook destroy with compose_data=true and the deployment "
        f"file that it was made with), or hand it over: adopt_data: [{', '.join(sorted(found))}] in the deployment file"
    )
    return [Problem(message, key="adopt_data", node=name, remedy=remedy) for name, message in sorted(found.items())]
