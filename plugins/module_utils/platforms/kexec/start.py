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
from .faults import misfit, refused
from .machine import COMMAND, Machine


def bring(machine: Machine, image: Image, answer: Answer, progress: Progress) -> bool:
    """Copy an image to the memory of a machine; whether it was not there yet."""
    if image.identity in answer.staged:
        return False
    kernel, initrd, root = (image.path(format_) for format_ in ("kernel", "initrd", "root"))
    length = overlay.length_with_root(initrd, root)
    progress.say(f"{machine.node}: copying {image.identity}, {length >> 20} MiB")
    kernel_file, system = f"{image.identity}.kernel", f"{image.identity}.system"
    size = str(os.path.getsize(kernel))
    machine.do("copying the kernel", scripts.KEEP, kernel_file, size, content=overlay.content(kernel))
    machine.do("copying the system", scripts.KEEP, system, str(length), content=overlay.with_root(initrd, root))
    return True


def rehearse(machine: Machine, image: Image, answer: Answer) -> None:
    """Have the machine's kernel load what was brought, and forget it. :raises ComposeError: it does not take it."""
    try:
        machine.do("loading the image with kexec", scripts.REHEARSE, image.identity, _cmdline(image))
    except ComposeError as error:
        machine.do("dropping the image", scripts.DROP)
        raise ComposeError(refused(answer, error.message), node=machine.node) from None


def start(machine: Machine, target: Target, owner: str, confirm_within: int, progress: Progress) -> None:
    """Have the machine's own Linux start an image; returns once it has ended.

    :param owner: ``DEPLOYMENT/NODE``
    :param confirm_within: seconds until the system goes back, unless it is confirmed.
    """
    image = target.image
    answer = machine.ask()
    if answer is None:
        raise ComposeError(f"its machine's own Linux does not answer any more: {machine.why}", node=machine.node)
    if answer.node is not None:
        raise ComposeError(f"its machine was taken: it runs the node {answer.node.owner}", node=machine.node)
    why = misfit(image, answer)
    if why:
        raise ComposeError(why, node=machine.node)
    bring(machine, image, answer, progress)
    progress.say(f"{machine.node}: starting {image.identity}")
    files = {
        "kexec/": b"",
        "kexec/deadline": b"%d\n" % confirm_within,
        "kexec/in/": b"",
        "kexec/in/owner": f"{owner}\n".encode(),
        "kexec/in/node.json": json.dumps(codec.encode(target.document)).encode(),
    }
    if answer.dns:
        files["kexec/resolv.conf"] = "".join(f"nameserver {server}\n" for server in answer.dns).encode()
    length = str(overlay.length_with_root(image.path("initrd"), image.path("root")))
    what = (image.identity, _cmdline(image), length)
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
