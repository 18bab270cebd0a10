# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storages of Proxmox VE: what each type can do, and how new disks on them are asked for. PRIVATE to the collection."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from .answers import ListedStorage


@dataclass(frozen=True)
class Kind:
    """What all storages of a type have in common."""

    #: Every node sees the same.
    shared: bool = False
    #: Format to be asked for, where there is a choice: the one that has snapshots.
    disk_format: str = ""
    #: A disk can be cloned copy-on-write, at once, and handed to another VM.
    clones: bool = False


#: Type → what it can do. Others have block devices that can only be copied.
KINDS: t.Mapping[str, Kind] = {
    "dir": Kind(disk_format="qcow2"),
    "nfs": Kind(shared=True, disk_format="qcow2"),
    "cifs": Kind(shared=True, disk_format="qcow2"),
    "cephfs": Kind(shared=True, disk_format="qcow2"),
    "glusterfs": Kind(shared=True, disk_format="qcow2"),
    "btrfs": Kind(disk_format="raw", clones=True),
    "rbd": Kind(shared=True, clones=True),
    "lvmthin": Kind(clones=True),
    "zfspool": Kind(clones=True),
}


@dataclass(frozen=True)
class Storage:
    """A storage."""

    name: str
    type: str
    shared: bool
    content: frozenset[str]
    #: Empty: all.
    nodes: frozenset[str]

    @classmethod
    def told(cls, entry: ListedStorage) -> Storage:
        """As the list of storages has it."""
        shared = bool(entry.shared) or KINDS.get(entry.type, Kind()).shared
        return cls(entry.storage, entry.type, shared, _words(entry.content), _words(entry.nodes))

    @property
    def kind(self) -> Kind:
        """What its type can do."""
        return KINDS.get(self.type, Kind())

    def new_disk(self, size: int, serial: str) -> str:
        """A drive with a new, empty disk.

        :param size: in MiB.
        """
        gib = f"{size / 1024:.10f}".rstrip("0").rstrip(".")  # to the MiB
        return f"{self.name}:{gib},serial={serial}" + self._format

    def imported(self, source: str, serial: str) -> str:
        """A drive that is filled from an uploaded image."""
        return f"{self.name}:0,import-from={source},serial={serial}" + self._format

    @property
    def _format(self) -> str:
        return f",format={self.kind.disk_format}" if self.kind.disk_format else ""

    def on(self, node: str) -> bool:
        """A node has the storage."""
        return not self.nodes or node in self.nodes


def _words(text: str | float | None) -> frozenset[str]:
    return frozenset(re.findall(r"[^, ]+", str(text or "")))
