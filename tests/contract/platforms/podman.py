# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers of Podman whose init is a shell."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import signal
import subprocess
import tarfile
import typing as t
import uuid
from dataclasses import replace
from pathlib import Path

from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.platforms.local.netns import Namespace

from ..ground import Boot, Ground, inside
from .root import STOP, make_root


class Pods(Ground):
    """On this host."""

    def options(self, number: int) -> dict[str, t.Any]:
        return {"runtime": "runc"}

    def spoil(self, deployment: Deployment, node: Node) -> tuple[Node, str]:
        return replace(node, options={**node.options, "runtime": "rnuc"}), "the program 'rnuc' is not installed"

    def make(self, identity: str, directory: Path) -> None:
        tree = directory.with_name(f"{directory.name}.tree")
        make_root(identity, tree)
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as archive:
            archive.add(tree, arcname=".")
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/sbin/init"], "StopSignal": str(STOP)},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"]},
        }
        # Tests that run beside each other load it under different names.
        name = f"localhost/contract-{uuid.uuid4()}:{identity}"
        manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
        members = {"config.json": config, "manifest.json": manifest}
        with tarfile.open(directory / "oci", "w") as archive:
            for member, value in members.items():
                _add(archive, member, json.dumps(value).encode())
            _add(archive, "layer.tar", layer.getvalue())

    @staticmethod
    def _shared(deployment: Deployment) -> str:
        return Namespace(deployment.name, os.path.realpath(deployment.state)).name

    def _pid(self, deployment: Deployment, node: str) -> int:
        """Process id of the node's init; 0 if there is none."""
        name = f"{self._shared(deployment)}-{node}"
        asked = ["podman", "inspect", "--type=container", "--format={{.State.Pid}}", name]
        return int(subprocess.run(asked, check=False, capture_output=True, text=True, timeout=60).stdout or 0)

    def boot(self, deployment: Deployment, node: str) -> Boot | None:
        pid = self._pid(deployment, node)
        return inside(pid) if pid else None

    def end(self, deployment: Deployment, node: str) -> None:
        pid = self._pid(deployment, node)
        os.kill(pid, signal.SIGKILL)
        subprocess.run(
            ["podman", "wait", f"{self._shared(deployment)}-{node}"], check=True, capture_output=True, timeout=60
        )

    def left(self, deployment: Deployment) -> list[str]:
        shared = self._shared(deployment)
        found = [name for name in os.listdir("/run/netns") if name.startswith(shared)]
        for listed in (["ps", "--all", "--format={{.Names}}"], ["images", "--format={{.Repository}}:{{.Tag}}"]):
            done = subprocess.run(["podman", *listed], check=True, capture_output=True, text=True, timeout=60)
            found += [line for line in done.stdout.split() if re.search(rf"(^|/){re.escape(shared)}[-:]", line)]
        return [*found, *(str(path) for path in (Path(deployment.state) / "nodes").glob("*"))]


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


GROUND = Pods
