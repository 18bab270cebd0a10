# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why no node can be started on a machine. PRIVATE to the collection."""

from __future__ import annotations

import os
import typing as t

from ...model.free import Options
from ...model.image import ARCHITECTURES, Image
from ...model.result import Problem
from ..problems import noting
from .answer import Answer
from .export import Export
from .overlay import LARGEST, System

#: Programs that the machine needs, and the Debian packages that have them.
PROGRAMS: t.Mapping[str, str] = {"kexec": "kexec-tools", "ip": "iproute2"}
#: Memory that an image takes before it is started: as it was staged, as it is loaded, and as it is when it starts.
_COPIES, _SPARE = 3, 64 << 20


def unusable(name: str, options: Options, export: Export | None) -> list[Problem]:
    """What options of a node name, and is not on this host as it has to be."""
    problems: list[Problem] = []
    for option in ("key", "known_hosts"):
        path = options[option]
        if path is not None and not os.access(os.path.expanduser(str(path)), os.R_OK):
            why = f"{option} is {path}, which is not a file that can be read here"
            problems.append(Problem(why, key=option, node=name))
    if export is not None:
        with noting(problems, name, key="nfs_dir"):
            export.require()
    elif options["nfs"] or options["nfs_dir"]:
        has, lacks = ("nfs", "nfs_dir") if options["nfs"] else ("nfs_dir", "nfs")
        why = f"has {has}, and no {lacks}: a server exports as nfs what is nfs_dir on this host"
        problems.append(Problem(why, key=lacks, node=name))
    return problems


def shared(taken: t.Mapping[str, str], places: t.Mapping[str, str]) -> list[Problem]:
    """The nodes that have the machine of another node.

    :param taken: place of a machine → node of another deployment.
    :param places: node → place of its machine, empty if that is not known.
    """
    owners, problems = dict(taken), []
    for name, place in places.items():
        other = owners.setdefault(place, name)
        if place and other != name:
            why = f"it has the same machine as the node {other!r}: {place}"
            problems.append(Problem(why, key="host", node=name))
    return problems


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


def misfit(image: Image, system: System, answer: Answer) -> str:
    """Why an image cannot be started on a machine that answers so; empty if it can."""
    here = ARCHITECTURES.get(answer.architecture, answer.architecture)
    if image.architecture != here:
        return f"the image {image.identity} is for {image.architecture}, its machine is {here}"
    if system.root is not None and os.path.getsize(system.root) > LARGEST:
        return f"the root file system of {image.identity} has more than 4 GiB"
    needed = _COPIES * system.length + _SPARE
    if answer.memory < needed and system.name not in answer.staged:
        return (
            f"its machine has {answer.memory >> 20} MiB of memory{'' if answer.node else ' free'}, the image "
            f"{image.identity} needs {needed >> 20} MiB to be started: {_COPIES} times its size"
        )
    return ""


def refused(answer: Answer, why: str) -> str:
    """That the kernel of a machine does not load an image, in words."""
    locked = answer.lockdown not in ("", "none")
    more = (
        f". Its kernel is locked down ({answer.lockdown}), as with Secure Boot: it only starts kernels whose "
        "signature it knows"
    )
    return f"its machine does not take the image: {why}{more if locked else ''}"
