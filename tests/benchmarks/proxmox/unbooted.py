# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platform ``proxmox_unbooted``: ``proxmox`` with VMs that the simulator only pretends to run. For tests, too.

There is no SSH to them, so the checks ask somebody who looks into the simulator: which disk was the VM started with?
A system whose image is called ``bad…`` does not come up well; one
that is called ``silent…`` never answers.
"""

from __future__ import annotations

import json
import os
import re
import time

from ..nodes.endpoint import Endpoint
from ..nodes.output import Output
from .proxmox.platform import Proxmox
from .proxmox.record import node_tag, short


class ProxmoxUnbooted(Proxmox):
    """See the module; ``SIMULATOR`` in the environment is the simulator's directory."""

    name = "proxmox_unbooted"

    def endpoint(self, node):
        return Endpoint("127.0.0.1")

    def shell(self, node):
        return Shell(node_tag(self.deployment.name, node.name), os.path.join(self.deployment.state, "roots"))


class Shell:
    """What a node that is well answers to the built-in checks.

    :param tag: of its VM.
    :param images: directory whose entries are the identities of the images that there are.
    """

    last_error = ""

    def __init__(self, tag, images):
        self.tag, self.images = tag, images

    def open(self, timeout):
        if self._booted().startswith("silent"):
            time.sleep(timeout)

    def run(self, command, timeout):
        booted = self._booted()
        state = "degraded" if booted.startswith("bad") else "running"
        return Output(0, f"identity {booted}\nup 3600 20\nstate {state}\n".encode(), b"")

    def _booted(self):
        """Identity of the image that the VM was started with."""
        return {short(identity): identity for identity in os.listdir(self.images)}.get(self._serial(), "nothing")

    def _serial(self):
        """Serial number of the disk that the VM was started with."""
        state = os.environ["SIMULATOR"]
        for folder, _folders, files in os.walk(os.path.join(state, "etc", "nodes")):
            for file in files:
                with open(os.path.join(folder, file), encoding="utf-8") as stream:
                    tagged = re.search(rf"^tags: .*\b{re.escape(self.tag)}(;|$)", stream.read(), re.MULTILINE)
                if tagged:
                    with open(os.path.join(state, "run", file.replace(".conf", ".json")), encoding="utf-8") as stream:
                        return json.load(stream)["serial"]
        return None

    def close(self):
        pass
