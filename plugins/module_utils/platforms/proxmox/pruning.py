# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove what no node needs any more, and nothing else. PRIVATE to the collection.

Proxmox VE destroys a volume without asking whether a VM uses it. So only volumes go that a record says this collection
made, that are ``unusedN`` of their VM, and that no configuration or snapshot in the cluster names.
"""

from __future__ import annotations

import threading
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ...errors import ComposeError
from ...progress import Progress
from .client import LostAnswer, ProxmoxError, Refusal
from .cluster import Cluster
from .config import Config
from .record import Boot, Content, Record
from .staging import empty_slots
from .vm import Patience, Vm


class References:
    """Which VM names which volume, in the whole cluster; looked up when it is asked for first."""

    def __init__(self, cluster: Cluster, patience: Patience, parallel: int) -> None:
        self._cluster = cluster
        self._patience = patience
        self._parallel = parallel
        self._lock = threading.Lock()
        self._named: dict[str, set[int]] | None = None

    def others(self, volume: str, vmid: int) -> set[int]:
        """VMs other than ``vmid`` whose configuration, or one of whose snapshots, names a volume."""
        with self._lock:
            if self._named is None:
                self._named = self._all()
        return self._named.get(volume, set()) - {vmid}

    def _all(self) -> dict[str, set[int]]:
        named: dict[str, set[int]] = {}
        vmids = sorted(self._cluster.vms(anew=True))
        off = self._cluster.off()
        if off:
            raise ComposeError(f"{', '.join(off)} is off: VMs there may use disks of others; nothing is destroyed")
        with ThreadPoolExecutor(max_workers=self._parallel) as pool:
            for vmid, volumes in zip(vmids, pool.map(self._of, vmids)):
                for volume in volumes:
                    named.setdefault(volume, set()).add(vmid)
        return named

    def _of(self, vmid: int) -> set[str]:
        vm = Vm(self._cluster, vmid, self._patience)
        try:
            config = vm.config()
            volumes = config.volumes()
            if config.get("parent"):  # else it has no snapshot
                for name in vm.snapshots():
                    if name != "current":
                        volumes |= vm.config(snapshot=name).volumes()
        except ProxmoxError as error:
            if not error.missing:
                raise
            return set()  # removed meanwhile
        return volumes


def drop_volumes(vm: Vm, keep: t.Collection[str], references: References, progress: Progress) -> Record | None:
    """Remove the volumes of a node that hold neither what it runs, nor what it may go back to, nor a kept image.

    :param keep: identities.
    :returns: the record to be written once nothing else is left to be cleaned up; none if there is nothing to write,
        or something had to stay for now.
    """
    config = vm.config()
    record = Record.read(config.get("description"), f"description of VM {vm.vmid}")
    if record is None or record.tidy or config.lock:
        return None
    if empty_slots(vm, config, record):  # of a run that was killed, and of which nothing is wanted any more
        config = vm.config()
        record = vm.known(config)
    left = _wanted(config, record, keep)
    superfluous = [volume for volume in record.volumes if volume not in left]
    unused = [volume for volume in superfluous if volume in config.unused]
    shared = {volume: others for volume in unused if (others := references.others(volume, vm.vmid))}
    for volume, others in shared.items():
        progress.say(f"prune: {volume} stays: VM {', '.join(map(str, sorted(others)))} uses it, too")
    gone = [volume for volume in unused if volume not in shared]
    if gone and config.get("protection") == "1":
        progress.say(f"prune: {', '.join(gone)} of VM {vm.vmid} stays as long as that is protected")
        left.update({volume: record.volumes[volume] for volume in gone})
    elif gone:
        try:  # in a task: the removal of a large volume can take longer than a call may
            keys = ",".join(config.unused[volume] for volume in gone)
            vm.task("POST", "/config", "removal of volumes", digest=config.digest, delete=keys)
        except (Refusal, LostAnswer) as error:
            progress.say(f"prune: {', '.join(gone)} of VM {vm.vmid} stays: {error.message}")
            return None
    if len(unused) < len(superfluous):
        running = vm.running_config().volumes()  # what a change took out is there until the next start
        left.update({volume: record.volumes[volume] for volume in superfluous if volume in running})
    return None if shared else replace(record, volumes=left, tidy=True)


def _wanted(config: Config, record: Record, keep: t.Collection[str]) -> dict[str, Content]:
    """The volumes that stay; of several with a kept image one is enough."""
    boots: t.Iterable[Boot | None] = (record.current, record.verified)
    in_use = {volume for boot in boots if boot for volume in (boot.system, boot.drive)}
    in_use |= {drive.volume for drive in config.drives.values()}
    wanted = {volume: content for volume, content in record.volumes.items() if volume in in_use}
    there = {content.image for content in wanted.values()}
    for volume in config.unused:
        content = record.volumes.get(volume, Content())
        if content.image in keep and content.image not in there:
            wanted[volume] = content
            there.add(content.image)
    return wanted
