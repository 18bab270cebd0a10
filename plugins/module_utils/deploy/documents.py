# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node documents of a deployment: made for a platform, and given to nodes. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import replace
from functools import cached_property, partial

from ..describe.document import boot_digest, node_document, peers_of, rest_digest
from ..errors import InputError
from ..model.boot import Target
from ..model.deployment import Deployment, Node
from ..model.document import Access, NodeDocument, Peer
from ..model.image import Image
from ..model.release import Release
from ..model.result import NodeResult
from ..nodes.keys import Keys
from ..platforms.base import Platform, per_node

#: Nodes that are given a new document at the same time.
PARALLEL = 32
#: Nodes that a line of progress names.
SHOWN = 3


class Documents:
    """Makes what it is asked for; host keys of nodes that have none are made with it."""

    def __init__(self, deployment: Deployment, platform: Platform, keys: Keys) -> None:
        self.deployment = deployment
        self.platform = platform
        self.keys = keys

    def of(self, node: Node, *, keep: bool = True) -> NodeDocument:
        """The document of one node.

        :param keep: keep a certificate of its host key that is made for it.
        :raises InputError: its secrets cannot be read.
        """
        host = self.keys.host_key(node.name, keep=keep)
        return self._document(node, host.private, host.certificate)

    def _document(self, node: Node, host_key: str, host_certificate: str) -> NodeDocument:
        self.require_secrets(node)
        return node_document(
            self.deployment,
            node,
            peers=self._peers,
            interfaces=self.platform.interfaces(node),
            access=Access(host_key, host_certificate, self._authorized_keys),
            disks=self.platform.disks(node),
        )

    # What all documents share is made once: it grows with the number of nodes.

    @cached_property
    def _peers(self) -> tuple[Peer, ...]:
        return peers_of(self.deployment)

    @cached_property
    def _authorized_keys(self) -> tuple[str, ...]:
        return (*self.keys.authorized(), *self.deployment.authorized_keys)

    @cached_property
    def _rest_digest(self) -> str:
        return rest_digest(self._peers, self._authorized_keys)

    def _digest(self, document: NodeDocument) -> str:
        return f"{boot_digest(document)}-{self._rest_digest}"

    def require_secrets(self, node: Node) -> None:
        """:raises InputError: the secrets of a node cannot be read; says which, and where they stand."""
        if node.name in self.deployment.unreadable:
            raise InputError(self.deployment.unreadable[node.name])

    def digests(self, nodes: t.Sequence[Node]) -> dict[str, str]:
        """Digest of each node's document, by name. No certificate counts for it."""

        def without_certificate(node: Node) -> NodeDocument:
            return self._document(node, self.keys.private_host_key(node.name), "")

        return {node.name: self._digest(document) for node, document in self._all(nodes, without_certificate)}

    def targets(self, nodes: t.Sequence[Node], images: t.Mapping[str, Image]) -> list[Target]:
        """The nodes with their images and the documents that they are to boot with."""
        return [
            Target(node, images[node.name], document, self._digest(document))
            for node, document in self._all(nodes, self.of)
        ]

    def _all(
        self, nodes: t.Sequence[Node], make: t.Callable[[Node], NodeDocument]
    ) -> t.Iterator[tuple[Node, NodeDocument]]:
        done = 0
        with self.platform.progress.waiting(lambda: f"node documents and host keys: {done} of {len(nodes)}"):
            for node in nodes:
                yield node, make(node)
                done += 1

    def take_back(self, nodes: t.Sequence[Node], before: Release | None) -> dict[str, NodeResult]:
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

    def refresh(self, nodes: t.Sequence[Node]) -> dict[str, NodeResult]:
        """Give running nodes a new document; what a node reads at boot only is the same in old and new."""
        from ..nodes.refresh import push_document  # with paramiko, which most steps do without

        progress = self.platform.progress
        # A certificate that a node was not given is made anew by the next plan.
        made = self._all(nodes, partial(self.of, keep=False))
        documents = {node.name: (node, document) for node, document in made}
        left = dict.fromkeys(documents)

        def act(name: str) -> NodeResult:
            node, document = documents[name]
            push_document(node, self.platform.endpoint(node), self.keys, document)
            self.platform.refresh(node, document, self._digest(document))
            self.keys.keep_certificate(name, document.ssh.host_certificate)
            return NodeResult(ok=True, changed=True)

        def told(name: str, outcome: NodeResult) -> None:
            del left[name]
            if not outcome.ok:
                progress.say(f"refresh {name}: failed: {outcome.message}")

        def describe() -> str:
            return f"refresh: {len(left)} of {len(documents)} nodes left: {', '.join(list(left)[:SHOWN])}"

        with progress.waiting(describe):
            outcomes = per_node(documents, act, told, step="refresh", parallel=PARALLEL)
        well = sum(outcome.ok for outcome in outcomes.values())
        if outcomes:
            progress.say(f"refresh: {well} of {len(outcomes)} nodes know their peers now")
        return outcomes
