# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node documents of a deployment: made for a platform, and given to nodes. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ..composition.document import document_digest, node_document
from ..composition.model import Deployment, Node
from ..errors import ComposeError, InputError
from ..images.image import Image
from ..platforms.base import Outcome, Platform, Target
from ..ssh.keys import Keys
from .release import Release


class Documents:
    """Makes what it is asked for; host keys of nodes that have none are made with it."""

    def __init__(self, deployment: Deployment, platform: Platform, keys: Keys) -> None:
        self.deployment = deployment
        self.platform = platform
        self.keys = keys

    def of(self, node: Node) -> dict[str, t.Any]:
        """The document of one node. :raises InputError: its secrets cannot be read."""
        self.require_secrets(node)
        host = self.keys.host_key(node.name)
        return node_document(
            self.deployment,
            node,
            interfaces=self.platform.interfaces(node),
            host_key=host.private,
            host_certificate=host.certificate,
            authorized_keys=[self.keys.login_public_key(), *self.deployment.authorized_keys],
        )

    def require_secrets(self, node: Node) -> None:
        """:raises InputError: the secrets of a node cannot be read; says which, and where they stand."""
        if node.name in self.deployment.unreadable:
            raise InputError(self.deployment.unreadable[node.name])

    def target(self, node: Node, image: Image) -> Target:
        """The node with the image and the document that it is to boot with."""
        document = self.of(node)
        return Target(node, image, document, document_digest(document))

    def take_back(self, nodes: t.Iterable[Node], before: Release | None) -> dict[str, Outcome]:
        """Tell nodes, which a run that failed told their new peers, those of the release before."""
        if before is None:
            return {}
        peers = [
            Node(name, role, before.places[name].index, before.places[name].address)
            for name, role in before.nodes.items()
            if name in before.places
        ]
        peers.sort(key=lambda node: (node.role, node.index))
        return Documents(replace(self.deployment, nodes=tuple(peers)), self.platform, self.keys).refresh(nodes)

    def refresh(self, nodes: t.Iterable[Node]) -> dict[str, Outcome]:
        """Give running nodes a new document; what a node reads at boot only is the same in old and new."""
        from ..checks.refresh import push_document  # with paramiko, which most steps do without

        outcomes = {}
        for node in nodes:
            document = self.of(node)
            try:
                push_document(node, self.platform.endpoint(node), self.keys, document)
                self.platform.refresh(node, document, document_digest(document))
                outcomes[node.name] = Outcome(ok=True, changed=True)
            except ComposeError as error:
                outcomes[node.name] = Outcome(ok=False, changed=True, message=str(error))
        return outcomes
