# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster of Proxmox VE consists of: nodes, storages, VMs and where these are. PRIVATE to the collection."""

from __future__ import annotations

import re
import threading
import typing as t
from dataclasses import dataclass
from functools import cached_property

from ...errors import ComposeError, InputError
from ...model.answer import WrongAnswer
from .answers import Bridge, Listed, ListedStorage, Member, Version
from .client import Client, ProxmoxError
from .privileges import separation
from .record import tags_of
from .storage import Storage

#: The first version to which disk images can be uploaded.
OLDEST = (8, 4)


@dataclass(frozen=True)
class Resource:
    """A VM as the list of the cluster has it; its state may be ten seconds old."""

    vmid: int
    node: str
    tags: frozenset[str]
    template: bool
    name: str = ""
    #: High availability takes care of it.
    managed: bool = False


class Cluster:
    """One cluster, or a node that stands alone. What was read is kept, but for where VMs are."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._lock = threading.Lock()
        #: Held from asking for a free number to the VM that takes it.
        self.creating = threading.Lock()
        #: Numbers under which VMs were to be made.
        self.asked_for: set[int] = set()
        self._nodes: dict[str, str] = {}
        #: Never changed, only replaced: other threads go through it.
        self._vms: dict[int, Resource] = {}
        self._storages: dict[str, Storage] = {}
        self._bridges: dict[str, frozenset[str]] = {}

    def check(self) -> None:
        """Refuse what is too old, or cannot be changed now.

        :raises ComposeError: says so.
        """
        if self.version < OLDEST:
            raise InputError(
                f"Proxmox VE at {self.client.access.host} is version {self._release}; at least "
                f"{OLDEST[0]}.{OLDEST[1]} is needed, disk images cannot be uploaded to older ones"
            )
        for entry in self._status():
            if entry.type == "cluster" and entry.quorate is False:
                raise ComposeError(f"cluster {entry.name} has no quorum: nothing can be changed now")

    @cached_property
    def _release(self) -> str:
        try:
            return self.client.get(Version, "/version").version
        except WrongAnswer:
            access = self.client.access
            raise InputError(
                f"what answers at {access.host}, port {access.port}, is not the API of Proxmox VE"
            ) from None

    @property
    def version(self) -> tuple[int, ...]:
        """Two numbers."""
        return tuple(int(number) for number in re.findall("[0-9]{1,9}", self._release)[:2])

    def _status(self) -> list[Member]:
        """What is known of the cluster; nothing without Sys.Audit, which nothing else needs."""
        try:
            return self.client.get(list[Member], "/cluster/status")
        except ProxmoxError as error:
            if error.status != 403:
                raise
            return []

    def vms(self, *, anew: bool = False) -> dict[int, Resource]:
        """All VMs that the caller may see, by number."""
        with self._lock:
            if anew or not self._nodes:
                self._read()
            return self._vms

    def _read(self) -> None:
        vms, nodes = {}, {}
        for entry in self.client.get(list[Listed], "/cluster/resources"):
            if entry.node is None:
                continue
            if entry.type == "node":
                nodes[str(entry.node)] = entry.status or "unknown"
            elif entry.type == "qemu" and entry.vmid is not None:
                name = "" if entry.name is None else str(entry.name)
                vms[entry.vmid] = Resource(
                    vmid=entry.vmid,
                    node=str(entry.node),
                    tags=frozenset(tags_of(entry.tags)),
                    template=bool(entry.template),
                    name=name,
                    managed=entry.hastate is not None,
                )
        self._vms, self._nodes = vms, nodes

    def states(self) -> dict[int, str]:
        """VM → whether it runs, as it was some seconds ago."""
        entries = self.client.get(list[Listed], "/cluster/resources", type="vm")
        return {entry.vmid: entry.status or "unknown" for entry in entries if entry.vmid is not None}

    def nodes(self, *storages: Storage, bridges: t.Collection[str] = ()) -> list[str]:
        """Nodes that are not known to be off, and have these storages and bridges, those with the fewest VMs first."""
        vms, off = self.vms().values(), self.off()
        fitting = [node for node in self._nodes if node not in off and all(storage.on(node) for storage in storages)]
        if bridges:
            fitting = [node for node in fitting if self.bridges(node) >= set(bridges)]
        return sorted(fitting, key=lambda node: (sum(vm.node == node for vm in vms), node))

    def bridges(self, node: str) -> frozenset[str]:
        """The bridges of a node that the caller may use."""
        with self._lock:
            if node not in self._bridges:
                entries = self.client.get(list[Bridge], f"/nodes/{node}/network", type="any_bridge")
                self._bridges[node] = frozenset(str(entry.iface) for entry in entries)
            return self._bridges[node]

    def off(self) -> list[str]:
        """Nodes that are known to be off."""
        self.vms()
        return sorted(node for node, state in self._nodes.items() if state == "offline")

    def is_free(self, vmid: int) -> bool:
        """Nothing has a number, seen or not."""
        try:
            self.client.call("GET", "/cluster/nextid", vmid=vmid)
        except ProxmoxError as error:
            if error.status != 400:
                raise
            return False
        return True

    def node_of(self, vmid: int) -> str:
        """Where a VM is. :raises ComposeError: nowhere."""
        found = self.vms().get(vmid)
        if found is None:
            raise ComposeError(f"VM {vmid} does not exist, or {self.client.access.caller} may not see it (VM.Audit)")
        return found.node

    def moved(self, vmid: int) -> bool:
        """Look again for a VM that is not where it was; whether it is elsewhere now."""
        before = self.vms().get(vmid)
        now = self.vms(anew=True).get(vmid)
        return now is not None and (before is None or now.node != before.node)

    def tagged(self, tag: str) -> list[Resource]:
        """VMs with a tag, by number."""
        return sorted((vm for vm in self.vms().values() if tag in vm.tags), key=lambda vm: vm.vmid)

    def add(self, vmid: int, node: str, tags: t.Collection[str], *, template: bool = False) -> None:
        """A VM was made: no need to ask again."""
        with self._lock:
            self._vms = {**self._vms, vmid: Resource(vmid, node, frozenset(tags), template)}

    def forget(self, vmid: int) -> None:
        """A VM was removed."""
        with self._lock:
            self._vms = {number: vm for number, vm in self._vms.items() if number != vmid}

    def storages(self) -> dict[str, Storage]:
        """The storages that the caller may see, by name."""
        with self._lock:
            if not self._storages:
                entries = [entry for entry in self.client.get(list[ListedStorage], "/storage") if not entry.disable]
                self._storages = {entry.storage: Storage.told(entry) for entry in entries}
            return self._storages

    def storage(self, name: str) -> Storage:
        """A storage. :raises InputError: there is none of that name."""
        known = self.storages()
        if name not in known:
            right = "Datastore.AllocateSpace"
            raise InputError(
                f"Proxmox has no storage {name!r} that {self.client.access.caller} may see ({right}"
                f"{separation(self.client, f'/storage/{name}', [right])}); there are: "
                f"{', '.join(sorted(known)) or 'none'}"
            )
        return known[name]

    def importing(self, wanted: str | None) -> Storage:
        """The storage to which images are uploaded: the one that is wanted, or any that takes them, shared ones first.

        :raises InputError: none takes them.
        """
        if wanted is not None:
            storage = self.storage(wanted)
            if "import" in storage.content:
                return storage
            content = ",".join(sorted({*storage.content, "import"}))
            raise InputError(
                f"storage {wanted!r} takes no images to import; allow it: pvesm set {wanted} --content {content}"
            )
        fitting = [storage for storage in self.storages().values() if "import" in storage.content]
        if not fitting:
            right = "Datastore.AllocateSpace"
            raise InputError(
                f"no storage of Proxmox that {self.client.access.caller} may see ({right}"
                f"{separation(self.client, '/storage', [right])}) takes images to import; allow it for one that is a "
                "directory, for example: pvesm set local --content backup,iso,vztmpl,import"
            )
        return min(fitting, key=lambda storage: (not storage.shared, storage.name))
