# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of QEMU with a guest of some hundred bytes, emulated."""

from __future__ import annotations

import os
import signal
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.platforms.qemu import platform
from ansible_collections.immutable.compose.plugins.module_utils.platforms.qemu.platform import PROGRAM

from ..ground import BROKEN, Boot, Ground, commands, started, wait_until

#: guest.S, assembled: code, and the table of interrupts behind it.
CODE = (
    "02b0ad1b00000100fe4f51e40000100000001000580110005801100020001000bc580110008b7310ac84c07407e859000000"
    "ebf4b00ae8500000000f0115b8001000ea49001000080066b810008ed88ec08ed0b87c00100066a310011000c1e81066a316"
    "0110000f011dbe001000b0fde621b0ffe6a1e460fbf4ebfce4603c537504b0fee664b020e620cf88c466bafd03eca82074fb"
    "66baf80388e0eec366900000000000000000ffff0000009acf00ffff00000092cf001700a00010004f00c80010008d742600"
)
GUEST = bytes.fromhex(CODE) + bytes(9 * 8) + bytes.fromhex("00000800008e0000") + bytes(64)


#: First port for SSH, and how many each process of tests that run beside each other has.
PORT, PORTS = 27400, 200


class Emulators(Ground):
    """On this host."""

    def __init__(self, directory: Path, images: Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__(directory, images, patch)
        patch.setattr(platform, "kvm_fault", lambda *dummy: "the contract emulates")
        patch.setattr(platform, "is_emulated", lambda *dummy: True)

    def options(self, number: int) -> dict[str, t.Any]:
        worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
        return {"memory": 32, "ssh_port_base": PORT + PORTS * worker + 10 * number}

    def spoil(self, deployment: Deployment, node: Node) -> tuple[Node, str]:
        return replace(node, options={**node.options, "memory": 0}), "memory is 0, expected 1 or more"

    def make(self, identity: str, directory: Path) -> None:
        (directory / "kernel").write_bytes(b"no kernel" if identity == BROKEN else GUEST)
        (directory / "initrd").write_text("nothing")
        (directory / "root").write_text("nothing")

    def _machines(self, deployment: Deployment) -> dict[str, tuple[int, list[str]]]:
        """Node → process and its command line."""
        ours = f"compose-{deployment.name}-"
        found = {}
        for pid, command in commands().items():
            if os.path.basename(command[0]) == PROGRAM and any(deployment.state in word for word in command):
                found[command[command.index("-name") + 1].removeprefix(ours)] = pid, command
        return found

    def boot(self, deployment: Deployment, node: str) -> Boot | None:
        pid, command = self._machines(deployment).get(node, (0, []))
        return Boot(Path(command[command.index("-kernel") + 1]).parent.name, started(pid)) if pid else None

    def end(self, deployment: Deployment, node: str) -> None:
        os.kill(self._machines(deployment)[node][0], signal.SIGKILL)
        wait_until(lambda: node not in self._machines(deployment))

    def left(self, deployment: Deployment) -> list[str]:
        return [*self._machines(deployment), *(str(path) for path in (Path(deployment.state) / "nodes").glob("*"))]


GROUND = Emulators
