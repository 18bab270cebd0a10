# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a machine's own Linux starts an image. PRIVATE to the collection."""

from __future__ import annotations

import json
import os

from ...errors import ComposeError
from ...model import codec
from ...model.boot import Target
from ...model.image import Image
from ...progress import Progress
from . import overlay, scripts
from .answer import Answer
from .export import Export
from .faults import misfit, refused
from .machine import COMMAND, Machine
from .overlay import System


def bring(machine: Machine, image: Image, system: System, answer: Answer, progress: Progress) -> bool:
    """Copy an image to the memory of a machine; whether it was not there yet."""
    if system.name in answer.staged:
        return False
    progress.say(f"{machine.node}: copying {image.identity}, {system.length >> 20} MiB")
    size = str(os.path.getsize(system.kernel))
    content = overlay.content(system.kernel)
    machine.do("copying the kernel", scripts.KEEP, f"{system.name}.kernel", size, content=content)
    name, length = f"{system.name}.system", str(system.length)
    machine.do("copying the system", scripts.KEEP, name, length, content=system.initramfs())
    return True


def rehearse(machine: Machine, image: Image, system: System, answer: Answer) -> None:
    """Have the machine's kernel load what was brought, and forget it. :raises ComposeError: it does not take it."""
    try:
        machine.do("loading the image with kexec", scripts.REHEARSE, system.name, _cmdline(image))
    except ComposeError as error:
        machine.do("dropping the image", scripts.DROP)
        raise ComposeError(refused(answer, error.message), node=machine.node) from None


def start(
    machine: Machine, target: Target, owner: str, confirm_within: int, export: Export | None, progress: Progress
) -> None:
    """Have the machine's own Linux start an image; returns once it has ended.

    :param owner: ``DEPLOYMENT/NODE``
    :param confirm_within: seconds until the system goes back, unless it is confirmed.
    :param export: what has its root file system, if that does not come along.
    """
    image = target.image
    answer = machine.ask()
    if answer is None:
        raise ComposeError(f"its machine's own Linux does not answer any more: {machine.why}", node=machine.node)
    if answer.node is not None:
        raise ComposeError(f"its machine was taken: it runs the node {answer.node.owner}", node=machine.node)
    system = System.of(image, over_nfs=export is not None)
    why = misfit(image, system, answer)
    if why:
        raise ComposeError(why, node=machine.node)
    bring(machine, image, system, answer, progress)
    files = {
        "kexec/": b"",
        "kexec/deadline": b"%d\n" % confirm_within,
        "kexec/in/": b"",
        "kexec/in/owner": f"{owner}\n".encode(),
        "kexec/in/node.json": json.dumps(codec.encode(target.document)).encode(),
    }
    if answer.dns:
        files["kexec/resolv.conf"] = "".join(f"nameserver {server}\n" for server in answer.dns).encode()
    if export is not None:
        export.try_from(machine, image)
        interfaces = [f"{each.match.mac} {each.address} {each.gateway or ''}\n" for each in answer.interfaces]
        files["kexec/nfs"] = f"{export.told(image)}\n".encode()
        files["kexec/interfaces"] = "".join(interfaces).encode()
    progress.say(f"{machine.node}: starting {image.identity}")
    what = (system.name, _cmdline(image), str(system.length))
    content = [overlay.archive(files)]
    machine.do("starting the image with kexec", scripts.BOOT, *what, content=content, may_break=True)
    # Whoever asks for the node must not meet the Linux before it, which is shutting down.
    machine.wait_for_end(COMMAND)


def drop(machine: Machine) -> None:
    """Free the memory of a machine whose image was never started."""
    answer = machine.ask()
    if answer is not None and answer.node is None and answer.staged:
        machine.do("dropping the image", scripts.DROP)


def _cmdline(image: Image) -> str:
    return f"{image.cmdline} {overlay.PARAMETERS}".strip()
