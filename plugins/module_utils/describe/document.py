# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node document: what one node is told at boot. Format: docs/formats.md. PRIVATE to the collection."""

from __future__ import annotations

import hashlib
import json
import typing as t
from dataclasses import replace

from ..model.codec import encode
from ..model.deployment import Deployment, Node
from ..model.document import Access, Disk, Interface, NodeDocument, Peer


def node_document(
    deployment: Deployment,
    node: Node,
    *,
    interfaces: tuple[Interface, ...],
    access: Access,
    peers: tuple[Peer, ...] | None = None,
    disks: tuple[Disk, ...] = (),
) -> NodeDocument:
    """The document of one node.

    :param peers: what :func:`peers_of` gives, if that was asked already: all nodes have the same.
    """
    return NodeDocument(
        name=node.name,
        role=node.role,
        index=node.index,
        deployment=deployment.name,
        interfaces=interfaces,
        peers=peers_of(deployment) if peers is None else peers,
        ssh=access,
        parameters=node.parameters,
        secrets=node.secrets,
        domain=deployment.domain,
        disks=disks,
    )


def peers_of(deployment: Deployment) -> tuple[Peer, ...]:
    """All nodes, as they know each other."""
    return tuple(Peer(peer.name, peer.role, peer.address) for peer in deployment.nodes)


def document_digest(document: NodeDocument) -> str:
    """``<boot>-<rest>``: the first part changes with what a node reads at boot only, the second with the rest.

    Authorized keys and the host certificate count for the second part: they can be renewed on the running node.
    """
    return f"{boot_digest(document)}-{rest_digest(document.peers, document.ssh.authorized_keys)}"


def boot_digest(document: NodeDocument) -> str:
    """The first part of :func:`document_digest`."""
    boot = encode(replace(document, peers=()))  # peers are many, and do not count
    del boot["peers"]
    boot["host_key"] = boot.pop("ssh")["host_key"]
    return _digest(boot)


def rest_digest(peers: tuple[Peer, ...], authorized_keys: tuple[str, ...]) -> str:
    """The second part of :func:`document_digest`: the same for all nodes of a deployment."""
    return _digest({"peers": encode(peers), "authorized_keys": authorized_keys})


def needs_reboot(old: str | None, new: str) -> bool:
    """Whether a node that was booted with digest ``old`` must boot again to follow ``new``."""
    return old is None or old.split("-")[0] != new.split("-")[0]


def _digest(data: t.Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
