# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes on hosts of other inventory sources: one name, one machine. PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError
from ..model.deployment import Node


@dataclass(frozen=True)
class Reached:
    """Where Ansible reaches a host of another inventory source."""

    #: Address or name.
    at: str
    #: The variable that says so; empty: none, it is reached by its own name.
    variable: str = ""
    #: It is said in host_vars, which win over what an inventory plugin says.
    in_host_vars: bool = False
    #: By Ansible's connection plugin ``ssh``.
    by_ssh: bool = True


def by_name(host: str) -> Reached:
    """How a host is reached of which no variable says anything."""
    return Reached(host)


def refuse_second_machine(node: Node, reached: Reached, where: str, platform: str, *, takes_over: bool) -> None:
    """Refuse a node whose name leads to another machine.

    :param platform: that makes a machine for the node.
    :param takes_over: the deployment file says that the node takes the name over.
    :raises InputError: names both addresses, and what can be done.
    """
    if reached.at in (node.name, node.address):
        return
    two = (
        f"{where}: Ansible reaches {node.name!r} at {reached.at} ({reached.variable}), but platform {platform!r} makes "
        f"a machine for it, at {node.address}: two machines of one name."
    )
    if not takes_over:
        raise InputError(
            f"{two} Expected {reached.variable}: {node.address} in the other source, or nodes of other names; or, if "
            f"the node takes the name over, 'take_over: true' beside 'hosts': then 'ansible {node.name}' reaches it"
        )
    if reached.in_host_vars:
        raise InputError(
            f"{two} The node takes the name over, but host_vars have the last word on how it is reached: remove "
            f"{reached.variable} from those of {node.name!r}"
        )
