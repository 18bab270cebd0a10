# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why no node can be started on a machine. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from .answer import Answer

#: Programs that the machine needs, and the Debian packages that have them.
PROGRAMS: t.Mapping[str, str] = {"kexec": "kexec-tools", "ip": "iproute2"}


def fault_of(answer: Answer, address: str) -> str:
    """Why a node of this address cannot be started on a machine that answers so; empty if it can."""
    if answer.node is not None:
        return f"its machine runs the node {answer.node.owner}: destroy that first"
    missing = [f"{program} (on Debian: {PROGRAMS[program]})" for program in PROGRAMS if program not in answer.programs]
    if missing:
        return f"its machine lacks the program {' and '.join(missing)}"
    if answer.disabled:
        return "its machine forbids kexec until the next boot (kernel.kexec_load_disabled)"
    own = {each.split("/")[0]: each for each in answer.addresses}
    if address not in own:
        has = ", ".join(sorted(own)) or "none"
        return f"the node is to have the address {address}, its machine has {has}: see nodes.NAME.address and network"
    if own[address] in answer.virtual:
        return (
            f"the address {address} is on {answer.virtual[own[address]]}, which is made of other devices (a bridge, "
            "bond or VLAN): the node could not have it"
        )
    return ""
