# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers of systemd-nspawn whose init is a shell."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment
from ansible_collections.immutable.compose.plugins.module_utils.platforms.local.machine import children

from ..ground import Boot, Ground, commands, inside, wait_until
from .root import make_root


class Containers(Ground):
    """On this host."""

    def make(self, identity: str, directory: Path) -> None:
        tree = directory.with_name(f"{directory.name}.tree")
        make_root(identity, tree)
        command = ["mksquashfs", str(tree), str(directory / "root"), "-quiet", "-no-progress", "-comp", "gzip"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def _machines(self, deployment: Deployment) -> dict[str, int]:
        """Node → process id of what supervises its container."""
        found = {}
        for pid, command in commands().items():
            ours = any(word.startswith(f"--directory={deployment.state}/") for word in command)
            if ours and os.path.basename(command[0]) == "systemd-nspawn":
                found.update({word.partition("=")[2]: pid for word in command if word.startswith("--machine=")})
        return found

    def boot(self, deployment: Deployment, node: str) -> Boot | None:
        inits = children(self._machines(deployment).get(node, -1))
        return inside(inits[0]) if inits else None

    def end(self, deployment: Deployment, node: str) -> None:
        (init,) = children(self._machines(deployment)[node])
        os.kill(init, signal.SIGKILL)
        wait_until(lambda: node not in self._machines(deployment))

    def left(self, deployment: Deployment) -> list[str]:
        state = Path(deployment.state)
        mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if f" {state}/" in line]
        roots = [str(path) for path in (state / "images").glob("*")]
        nodes = [str(path) for path in (state / "nodes").glob("*")]
        return [*self._machines(deployment), *mounts, *roots, *nodes]


GROUND = Containers
