# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs of a simulated cluster of one node, over its socket; its disks are real, and nothing boots them."""

from __future__ import annotations

import subprocess
import sys
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe.ownership import DataVolume
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox import client, tasks, vm
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.record import (
    deployment_tag,
    node_tag,
    tags_of,
)

from ..ground import BROKEN, Boot, Ground

sys.path.insert(0, str(Path(__file__).parents[2] / "simulators"))

from proxmox.errors import ApiError
from proxmox.main import start
from proxmox.options import Options

STORAGES = {"local": {"type": "dir", "path": "/var/lib/vz", "content": "images,iso,snippets,import"}}
NODE = "pve1"
SECTOR = 512


class Cluster(Ground):
    """In this process."""

    has_console = False

    def __init__(self, directory: Path, images: Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__(directory, images, patch)
        patch.setattr(vm, "_POLL", 0.02)
        patch.setattr(tasks, "_SHORTEST", 0.005)
        patch.setattr(client, "_PAUSE", 0.005)
        chosen = {"pace": 0.02, "resources_seconds": 0, "storages": STORAGES, "guest": {"shutdown": 1}, "nodes": [NODE]}
        self._server = start(directory / "cluster", 0, Options(**chosen))
        self._cluster = self._server.cluster
        self._booted: dict[int, Boot] = {}
        really = self._cluster.guests.start

        def begin(node: str, vmid: int, values: t.Any, disks: list[tuple[str, t.Any, Path, str]]) -> None:
            identity = next(filter(None, (_identity(path, kind) for dummy, dummy2, path, kind in disks)), "")
            if identity == BROKEN:
                raise ApiError("start failed: QEMU exited with code 1")
            really(node, vmid, values, disks)
            number = int(self._booted[vmid].number) + 1 if vmid in self._booted else 1
            self._booted[vmid] = Boot(identity, str(number))

        patch.setattr(self._cluster.guests, "start", begin)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        for vmid in self._cluster.files.find():
            self._cluster.guests.forget(vmid)

    def options(self, number: int) -> dict[str, t.Any]:
        return {"storage": "local", "staging": "import", "memory": 32}

    @property
    def credentials(self) -> dict[str, str]:
        user, _equals, secret = self._cluster.access.root_token.removeprefix("token:").rpartition("=")
        return {
            "host": f"127.0.0.1:{self._server.server_address[1]}",
            "token_id": user,
            "token_secret": secret,
            "ca_file": str(self._cluster.state / "pve-root-ca.pem"),
        }

    def spoil(self, deployment: Deployment, node: Node) -> tuple[Node, str]:
        return replace(node, options={**node.options, "storage": "nowhere"}), "Proxmox has no storage 'nowhere'"

    def make(self, identity: str, directory: Path) -> None:
        raw = directory.with_name(f"{directory.name}.raw")
        raw.write_bytes(identity.encode().ljust(1 << 20, b"\0"))
        command = ["qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", str(raw), str(directory / "qcow2")]
        subprocess.run(command, check=True)
        raw.unlink()

    def _vmids(self, deployment: Deployment, *nodes: str) -> list[int]:
        """VMs of a deployment, or of some nodes."""
        wanted = {node_tag(deployment.name, node) for node in nodes} or {deployment_tag(deployment.name)}
        vmids = sorted(self._cluster.files.find())
        return [vmid for vmid in vmids if wanted & tags_of(self._config(vmid).get("tags"))]

    def _config(self, vmid: int) -> dict[str, t.Any]:
        found: dict[str, t.Any] = self._cluster.files.load(self._cluster.files.find()[vmid], vmid).current(pending=True)
        return found

    def boot(self, deployment: Deployment, node: str) -> Boot | None:
        running = [vmid for vmid in self._vmids(deployment, node) if self._cluster.guests.running(vmid)]
        return self._booted[running[0]] if running else None

    def end(self, deployment: Deployment, node: str) -> None:
        for vmid in self._vmids(deployment, node):
            self._cluster.guests.forget(vmid)

    def volume(self, volume: DataVolume) -> Path:
        place, name = self._cluster.volumes.find(NODE, volume.place)
        return Path(place.file(name))

    def left(self, deployment: Deployment) -> list[str]:
        return [f"VM {vmid}: {drive}" for vmid in self._vmids(deployment) for drive in self._drives(vmid)]

    def _drives(self, vmid: int) -> list[str]:
        """All that is not the data volume; a VM without any drive counts, too."""
        config = self._config(vmid)
        drives = [str(config[key]) for key in config if key.rstrip("0123456789") in ("scsi", "ide", "sata", "virtio")]
        return [drive for drive in drives if "serial=data" not in drive] if drives else ["nothing"]


def _identity(path: Path, kind: str) -> str:
    """What the first sector of a disk says; empty if nothing."""
    if kind == "raw":
        with path.open("rb") as stream:
            sector = stream.read(SECTOR)
    else:
        out = path.with_suffix(".sector")
        command = [
            "qemu-img",
            "dd",
            "-U",
            "-f",
            kind,
            "-O",
            "raw",
            f"bs={SECTOR}",
            "count=1",
            f"if={path}",
            f"of={out}",
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        sector = out.read_bytes()
        out.unlink()
    text = sector.rstrip(b"\0")
    return text.decode() if text.isalnum() else ""


GROUND = Cluster
