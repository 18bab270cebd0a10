# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one step of a deployment works with: the cluster, its storages, the VMs. PRIVATE to the collection."""

from __future__ import annotations

import hashlib
import typing as t
from functools import cached_property

from ...model.deployment import Deployment, Node
from ...progress import Progress
from .access import Access
from .client import Client
from .cluster import Cluster
from .config import Config
from .config_drive import config_drive
from .machines import Machines
from .options import OPTIONS
from .staging import Staging
from .storage import Storage
from .templates import Templates
from .uploads import Uploads
from .vm import Patience, Vm

#: What logs in, and the variable of the environment that may say it.
ENVIRONMENT = {
    "host": "PROXMOX_HOST",
    "user": "PROXMOX_USER",
    "password": "PROXMOX_PASSWORD",
    "token_id": "PROXMOX_TOKEN_ID",
    "token_secret": "PROXMOX_TOKEN_SECRET",
    "ca_file": "PROXMOX_CA_FILE",
    "fingerprint": "PROXMOX_FINGERPRINT",
}


class Service:
    """Made when it is asked for: who asks for nothing calls nothing."""

    def __init__(self, deployment: Deployment, progress: Progress) -> None:
        self.deployment = deployment
        self.progress = progress
        self.parallel: int = self.shared("parallel")
        self.patience = Patience(
            shutdown=self.shared("shutdown_timeout"), task=self.shared("task_timeout"), lock=self.shared("lock_timeout")
        )
        #: Configurations that the check has read, for the observation that follows it; forgotten before any change.
        self.looks: dict[int, Config] = {}
        self._macs: dict[str, str] = {}
        self._nodes = {node.name: node for node in deployment.nodes}

    def option(self, node: Node, name: str) -> t.Any:
        """Value of an option for a node, or its default."""
        return node.options.get(name, OPTIONS[name].default)

    def shared(self, name: str) -> t.Any:
        """Value of an option that holds for the whole deployment."""
        nodes = self.deployment.nodes
        return self.option(nodes[0], name) if nodes else OPTIONS[name].default

    @cached_property
    def cluster(self) -> Cluster:
        """The cluster. :raises InputError: it is not said where it is, or who logs in."""
        told = dict(self.deployment.credentials)
        told.update({key: self.shared(key) for key in ENVIRONMENT if key in OPTIONS and self.shared(key) is not None})
        access = Access.at(told.pop("host", ""), port=self.shared("port"), **told)
        return Cluster(Client(access, self.parallel))

    @cached_property
    def machines(self) -> Machines:
        """The deployment's VMs."""
        return Machines(self.cluster, self.deployment.name, self.patience)

    @cached_property
    def uploads(self) -> Uploads:
        """Images on the storage that takes them."""
        storage = self.cluster.importing(self.shared("import_storage"))
        return Uploads(self.cluster, storage, self.deployment.name, self.patience.task, self.progress)

    @cached_property
    def templates(self) -> Templates:
        """Templates of the deployment's images."""
        return Templates(self.cluster, self.uploads, self.deployment.name, self.patience)

    @cached_property
    def staging(self) -> Staging:
        """What brings images and documents to VMs."""
        return Staging(self.uploads, self.templates, config_drive, self.progress)

    def storage(self, node: Node) -> Storage:
        """Where a node's disks are."""
        return self.cluster.storage(self.option(node, "storage"))

    def method(self, node: Node) -> str:
        """How images get to a node: ``import``, ``clone`` or ``volume``."""
        method: str = self.option(node, "staging")
        if method != "auto":
            return method
        return "clone" if self.storage(node).kind.clones else "import"

    def find(self, name: str) -> Vm | None:
        """The VM of a node, which need not be part of the deployment any more."""
        return self.machines.find(name, self.option(self._nodes[name], "vmid") if name in self._nodes else None)

    def mac(self, node: Node) -> str:
        """Address of the first interface: of a VM that is made it follows from the names, else it is asked for."""
        digest = hashlib.sha256(f"{self.deployment.name}/{node.name}".encode()).digest()
        made = "52:54:" + ":".join(f"{byte:02x}" for byte in digest[:4])
        if self.option(node, "vmid") is None:
            return made
        if node.name not in self._macs:
            vm = self.find(node.name)
            self._macs[node.name] = (vm.config().mac if vm else None) or made
        return self._macs[node.name]

    def networks(self, node: Node) -> dict[str, str]:
        """Network interfaces of a VM that is made."""
        return {
            f"net{number}": f"virtio={self.mac(node)},{network}" if number == 0 else f"virtio,{network}"
            for number, network in enumerate(self.option(node, "networks"))
        }
