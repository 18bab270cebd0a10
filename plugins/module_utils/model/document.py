# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node document: what one node is told at boot, and never part of an image. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .deployment import SECRET
from .free import Parameters


@dataclass(frozen=True)
class Match:
    """Which of the machine's network interfaces is meant: by one of the two."""

    brief: t.ClassVar[bool] = True

    mac: t.Optional[str] = None
    name: t.Optional[str] = None


@dataclass(frozen=True)
class Interface:
    """How the node configures one of its network interfaces."""

    brief: t.ClassVar[bool] = True

    match: Match
    #: With prefix length.
    address: t.Optional[str] = None
    gateway: t.Optional[str] = None
    dhcp: bool = False


@dataclass(frozen=True)
class Peer:
    """A node of the deployment, as the others know it."""

    name: str
    role: str
    address: t.Optional[str]


@dataclass(frozen=True)
class Disk:
    """A disk of the machine that the node prepares itself, and then finds as ``/dev/disk/by-id/virtio-NAME``."""

    brief: t.ClassVar[bool] = True

    #: Of the data volume, or as the deployment calls a disk that is handed over as it is.
    name: str
    #: Disk or partition.
    device: str
    #: Whose the data on it are, in words. Empty: it is handed over as it is.
    owner: str = ""
    #: Of the file system, by which the data of this owner are known.
    uuid: str = ""
    #: What others have on it may be overwritten.
    wipe: bool = False
    #: Data that were made for another node may be taken over.
    adopt: bool = False


@dataclass(frozen=True)
class Access:
    """Who may log in, and how the node proves who it is."""

    #: Private host key in OpenSSH's format.
    host_key: str = field(metadata=SECRET)
    #: Its certificate, signed by the deployment's host CA.
    host_certificate: str
    #: Who may log in as root: the deployment's own key first, then whose keys its CA signs for a run.
    authorized_keys: tuple[str, ...]


@dataclass(frozen=True)
class NodeDocument:
    """What a node reads. Fields that are not known here are for the services of its role."""

    #: Becomes the host name.
    name: str
    role: str
    #: 1, 2, … within the role.
    index: int
    deployment: str
    interfaces: tuple[Interface, ...]
    #: Every node of the deployment, this one included; becomes ``/etc/hosts``.
    peers: tuple[Peer, ...]
    ssh: Access
    #: Of deployment, role and node together.
    parameters: Parameters
    secrets: t.Mapping[str, str] = field(metadata=SECRET)
    #: Domain of the nodes whose names have no dots.
    domain: str = ""
    #: Disks for its data volumes, where the platform leaves them to the node.
    disks: tuple[Disk, ...] = ()
    schema: t.Literal["immutable.compose/node/1"] = field(default="immutable.compose/node/1", metadata={"always": True})
    ignores_unknown: t.ClassVar[bool] = True
    #: Nodes that are up keep the document that they have: what is not said changes no digest.
    brief: t.ClassVar[bool] = True

    @property
    def address(self) -> t.Optional[str]:
        """The node's own, as its peers know it."""
        return next((peer.address for peer in self.peers if peer.name == self.name), None)
