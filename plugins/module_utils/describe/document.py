# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node document: what one node is told at boot. Format: docs/formats.md. PRIVATE to the collection."""

from __future__ import annotations

import hashlib
import json
import typing as t

from ..model.deployment import Deployment, Node

NODE_SCHEMA = "immutable.compose/node/1"

#: Parts that a running node can take over without a reboot.
REFRESHABLE = ("peers",)


def node_document(
    deployment: Deployment,
    node: Node,
    *,
    interfaces: t.Sequence[t.Mapping[str, t.Any]],
    host_key: str,
    host_certificate: str,
    authorized_keys: t.Sequence[str],
    peers: t.Sequence[t.Mapping[str, t.Any]] | None = None,
) -> dict[str, t.Any]:
    """The document of one node; host key in OpenSSH's private key format, certificate as one line.

    :param peers: what :func:`peers_of` gives, if that was asked already: all nodes have the same.
    """
    return {
        "schema": NODE_SCHEMA,
        "name": node.name,
        # Left out where there is none: nodes that are up keep the document that they have.
        **({"domain": deployment.domain} if deployment.domain else {}),
        "role": node.role,
        "index": node.index,
        "deployment": deployment.name,
        "interfaces": list(interfaces),
        "peers": peers_of(deployment) if peers is None else peers,
        "ssh": {
            "host_key": host_key,
            "host_certificate": host_certificate,
            "authorized_keys": list(authorized_keys),
        },
        "parameters": dict(node.parameters),
        "secrets": dict(node.secrets),
    }


def peers_of(deployment: Deployment) -> list[dict[str, t.Any]]:
    """All nodes, as they know each other."""
    return [{"name": peer.name, "role": peer.role, "address": peer.address} for peer in deployment.nodes]


def own_address(document: t.Mapping[str, t.Any]) -> str | None:
    """The address that the node of a document has."""
    own = (peer["address"] for peer in document.get("peers", ()) if peer["name"] == document["name"])
    return next(own, None)


def document_digest(document: t.Mapping[str, t.Any]) -> str:
    """``<boot>-<rest>``: the first part changes with what a node reads at boot only, the second with the rest.

    Authorized keys and the host certificate count for the second part: they can be renewed on the running node.
    """
    return f"{boot_digest(document)}-{rest_digest(document)}"


def boot_digest(document: t.Mapping[str, t.Any]) -> str:
    """The first part of :func:`document_digest`."""
    boot = {key: value for key, value in document.items() if key not in (*REFRESHABLE, "ssh")}
    boot["host_key"] = document["ssh"]["host_key"]
    return _digest(boot)


def rest_digest(document: t.Mapping[str, t.Any]) -> str:
    """The second part of :func:`document_digest`: the same for all nodes of a deployment."""
    rest = {key: document[key] for key in REFRESHABLE}
    rest["authorized_keys"] = document["ssh"]["authorized_keys"]
    return _digest(rest)


def needs_reboot(old: str | None, new: str) -> bool:
    """Whether a node that was booted with digest ``old`` must boot again to follow ``new``."""
    return old is None or old.split("-")[0] != new.split("-")[0]


def _digest(data: t.Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
