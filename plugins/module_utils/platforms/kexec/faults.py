# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why no node can be started on a machine. PRIVATE to the collection."""

from __future__ import annotations

import os
import typing as t

from ...model.image import ARCHITECTURES, Image
from . import overlay
from .answer import Answer

#: Programs that the machine needs, and the Debian packages that have them.
PROGRAMS: t.Mapping[str, str] = {"kexec": "kexec-tools", "ip": "iproute2"}
#: Memory that an image takes before it is started: as it was staged, as it is loaded, and as it is when it starts.
_COPIES, _SPARE = 3, 64 << 20


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


def misfit(image: Image, answer: Answer) -> str:
    """Why an image cannot be started on a machine that answers so; empty if it can."""
    here = ARCHITECTURES.get(answer.architecture, answer.architecture)
    if image.architecture != here:
        return f"the image {image.identity} is for {image.architecture}, its machine is {here}"
    if os.path.getsize(image.path("root")) > overlay.LARGEST:
        return f"the root file system of {image.identity} has more than 4 GiB"
    needed = _COPIES * overlay.length_with_root(image.path("initrd"), image.path("root")) + _SPARE
    if answer.memory < needed and image.identity not in answer.staged:
        return (
            f"its machine has {answer.memory >> 20} MiB of memory{'' if answer.node else ' free'}, the image "
            f"{image.identity} needs {needed >> 20} MiB to be started: {_COPIES} times its size"
        )
    return ""


def refused(answer: Answer, why: str) -> str:
    """That the kernel of a machine does not load an image, in words."""
    locked = answer.lockdown not in ("", "none")
    more = (
        f". Its kernel is locked down ({answer.lockdown}), as with Secure Boot: it takes kernels only whose signature "
        "it knows"
    )
    return f"its machine does not take the image: {why}{more if locked else ''}"
