"""What a simulated cluster is: nodes, storages, paces. Read once from ``options.json`` in the state directory."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass, field, fields
from pathlib import Path

#: What every node has when nobody configured it; images for import have to be allowed.
LOCAL = {
    "type": "dir",
    "path": "/var/lib/vz",
    "content": "backup,images,iso,rootdir,snippets,vztmpl",
    "prune-backups": "keep-all=1",
}


@dataclass
class Options:
    """Options of the simulator; every one has a default, so the file may be absent."""

    #: Names of the nodes; the first one answers calls that belong to no node.
    nodes: list[str] = field(default_factory=lambda: ["pve1"])
    #: Storage → its configuration, as in storage.cfg (``type`` dir, rbd, lvmthin or zfspool; ``shared`` 0 or 1).
    storages: dict[str, dict[str, t.Any]] = field(default_factory=lambda: {"local": dict(LOCAL)})
    #: Real seconds in a simulated one; 0.1 is ten times as fast.
    pace: float = 1.0
    #: Simulated seconds that a task of a type takes, besides what it does.
    task_seconds: dict[str, float] = field(default_factory=dict)
    #: Simulated seconds that copying a GiB of a disk takes (import, full clone, move), besides what it does.
    copy_seconds: float = 0.0
    #: Simulated seconds that making a TiB of a disk takes on a storage of files (the metadata of qcow2).
    allocate_seconds: float = 0.0
    #: Node → its bridges; one that is not named has vmbr0.
    bridges: dict[str, list[str]] = field(default_factory=dict)
    #: Simulated seconds until pvestatd tells ``/cluster/resources`` the state; 0 is always exact.
    resources_seconds: float = 10.0
    #: Simulated seconds of a round of the HA manager, which carries out requests; without, they are only recorded.
    ha_seconds: float | None = None
    #: What runs in a VM when it is not booted for real (see ``guests.Guest``).
    guest: dict[str, t.Any] = field(default_factory=dict)
    #: Boot disk images in QEMU (TCG, network on the loopback interface only).
    boot: bool = False
    #: ``-netdev`` of a booted VM's first interface; {vmid} and {port} are replaced.
    netdev: str = "user,hostfwd=tcp:127.0.0.1:{port}-:22"

    @classmethod
    def read(cls, state: Path) -> Options:
        """The options of a state directory; an unknown one is an error."""
        path = state / "options.json"
        given = json.loads(path.read_text()) if path.exists() else {}
        unknown = sorted(set(given) - {one.name for one in fields(cls)})
        if unknown:
            raise SystemExit(f"{path}: unknown options {', '.join(unknown)}")
        return cls(**given)
