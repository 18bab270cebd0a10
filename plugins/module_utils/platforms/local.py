# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the platforms on this very host have in common: each node has a directory there. PRIVATE to the collection.

What runs is asked of the host; what it is, of the node's records. A record is written before the node is started and
only while it does not run, so the two never disagree, whenever a run is killed.
"""

from __future__ import annotations

import os
import typing as t
from abc import abstractmethod

from ..composition.model import Deployment, Node
from ..errors import ComposeError, InputError
from ..images.image import ARCHITECTURES, Image
from ..progress import Progress
from . import console, limits, machine
from .base import Lost, Observation, Outcome, Platform, Target, Tell, per_node
from .limits import Needs
from .records import NodeState, Record

#: Bytes that must be free in the state directory: records, documents, consoles.
SPACE = 64 * 1024 * 1024


class LocalPlatform(Platform):
    """Nodes live and die on this host."""

    #: Seconds for a node with data volumes to stop its services and sync before it is killed.
    stop_deadline: t.ClassVar[int] = 40
    #: The same for a node without: whatever it does now, nothing of it stays.
    volatile_stop_deadline: t.ClassVar[int] = 10

    def __init__(self, deployment: Deployment, progress: Progress) -> None:
        super().__init__(deployment, progress)
        self.state = os.path.realpath(deployment.state)

    # -- what a platform adds ------------------------------------------------------------------------------------

    @abstractmethod
    def running(self, names: t.Iterable[str]) -> dict[str, int]:
        """Process id of each of these nodes that runs."""

    @abstractmethod
    def start(self, name: str, record: Record) -> None:
        """Prepare what the node needs (network, volumes) and start it; from now on only the node itself can fail."""

    @abstractmethod
    def halt(self, name: str, pid: int, seconds: int, step: str) -> None:
        """Have the node shut down in good order, or by force after so many seconds.

        :raises ComposeError: not even that ends it.
        """

    def after_stop(self, name: str) -> None:
        """Clean up behind a node that does not run any more, or could not be started."""

    def needs(self, node: Node) -> Needs:
        """What a node takes of this host's limits, at least, besides memory of containers."""
        return Needs()

    def effective_options(self, node: Node) -> dict[str, t.Any]:
        """The options that the node is to boot with."""
        return {key: self.option(node, key) for key in self.options}

    # -- the platform --------------------------------------------------------------------------------------------

    def node_state(self, name: str) -> NodeState:
        return NodeState(self.state, name)

    def used(self) -> set[str]:
        """Identities of the images that nodes run, or may go back to."""
        states = [self.node_state(name) for name in NodeState.names(self.state)]
        records = [record for state in states for record in (state.current(), state.verified())]
        return {record.image.identity for record in records if record}

    def check(self, nodes: t.Sequence[Node]) -> None:
        for node in nodes:
            if node.address is None:
                raise InputError(f"node {node.name!r} has no address on {self.deployment.network}")
        there = self.state
        while not os.path.exists(there):
            there = os.path.dirname(there)
        if not os.access(there, os.W_OK | os.X_OK):
            raise ComposeError(f"no permission to write to {there}, needed for the state {self.state}")
        for name in NodeState.names(self.state):
            record = self.node_state(name).current()
            if record is not None and record.platform != self.name:
                raise ComposeError(
                    f"{self.state} holds nodes of platform {record.platform!r}: destroy them first, with a deployment "
                    "file that still names that platform"
                )
        free = os.statvfs(there).f_bavail * os.statvfs(there).f_frsize
        if free < SPACE:
            raise ComposeError(f"{there} has {free >> 20} MiB free, {SPACE >> 20} MiB are needed")
        running = self.running([node.name for node in nodes])
        limits.require([self.needs(node) for node in nodes if node.name not in running])

    def observe(self, nodes: t.Sequence[Node]) -> dict[str, Observation]:
        wanted = {node.name: node for node in nodes}
        names = sorted({*wanted, *NodeState.names(self.state), *NodeState.names(self.state, "volumes")})
        running = self.running(names)
        seen = {}
        for name in names:
            state = self.node_state(name)
            current, verified = state.current(), state.verified()
            if current is None:
                seen[name] = Observation("absent")
                continue
            options = self.effective_options(wanted[name]) if name in wanted else current.options
            seen[name] = Observation(
                "running" if name in running else "stopped",
                current.image.identity,
                current.document_digest,
                verified.image.identity if verified else None,
                tuple(
                    f"{key} {current.options.get(key)} → {value}"
                    for key, value in options.items()
                    if current.options.get(key) != value
                ),
                # The same image was verified with another document or other options.
                leftovers=verified is not None
                and verified != current
                and verified.image.identity == current.image.identity,
            )
        return seen

    def switch(self, targets: t.Sequence[Target], tell: Tell) -> dict[str, Outcome]:
        by_name = {target.node.name: target for target in targets}

        def act(name: str) -> Outcome:
            target = by_name[name]
            options = self.effective_options(target.node)
            record = Record(self.name, target.image, target.document, target.document_digest, options)
            return self._boot(name, record, "switch")

        return self._per_node("switch", by_name, act, tell)

    def commit(self, nodes: t.Sequence[Node], release: int) -> None:
        for node in nodes:
            self.node_state(node.name).commit()

    def revert(self, nodes: t.Sequence[Node], tell: Tell) -> dict[str, Outcome]:
        def act(name: str) -> Outcome:
            state = self.node_state(name)
            current, verified = state.current(), state.verified()
            if verified is None:
                stopped = self._stop(name, "revert")
                return Outcome(ok=True, changed=stopped, message="has no verified image to go back to: stopped")
            if current is not None and current.boots_like(verified) and self.running([name]):
                return Outcome(ok=True, message=f"runs its verified image {verified.image.identity}")
            return self._boot(name, verified, "revert")

        return self._per_node("revert", [node.name for node in nodes], act, tell)

    def refresh(self, node: Node, document: t.Mapping[str, t.Any], document_digest: str) -> None:
        self.node_state(node.name).refresh(document, document_digest)

    def remove(self, names: t.Sequence[str], *, data: bool, tell: Tell) -> dict[str, Outcome]:
        def act(name: str) -> Outcome:
            stopped = self._stop(name, "remove")
            removed = self.node_state(name).remove(data=data)
            return Outcome(ok=True, changed=stopped or removed)

        return self._per_node("remove", names, act, tell)

    def console(self, node: Node, lines: int = 50) -> str:
        return machine.tail(self.node_state(node.name).console, lines)

    def lost(self, nodes: t.Sequence[Node]) -> dict[str, Lost]:
        running = self.running([node.name for node in nodes])
        found = {}
        for node in nodes:
            if node.name not in running:
                found[node.name] = Lost("it does not run any more: it was shut down, or ended by itself", certain=True)
            else:
                trouble = console.trouble(self.console(node, console.LINES))
                if trouble:
                    found[node.name] = Lost(trouble, certain=False)
        return found

    def prune(self, keep: t.Collection[str]) -> None:
        """Images are used where they were built: nothing to forget."""

    def teardown(self) -> None:
        if NodeState.names(self.state):
            raise ComposeError(f"nodes still exist in {self.state}/nodes: {', '.join(NodeState.names(self.state))}")
        for directory in ("nodes", "volumes"):
            path = os.path.join(self.state, directory)
            if os.path.isdir(path) and not os.listdir(path):
                os.rmdir(path)

    # -- one node ------------------------------------------------------------------------------------------------

    def _per_node(
        self, step: str, names: t.Iterable[str], act: t.Callable[[str], Outcome], tell: Tell
    ) -> dict[str, Outcome]:
        missing = set(names)

        def told(name: str, outcome: Outcome) -> None:
            missing.discard(name)
            tell(name, outcome)

        with self.progress.waiting(lambda: f"{step}: waiting for {', '.join(sorted(missing))}"):
            return per_node(sorted(missing), act, told, step=step)

    def _boot(self, name: str, record: Record, step: str) -> Outcome:
        """Stop what runs, and boot ``record``."""
        self._stop(name, step)
        state = self.node_state(name)
        state.intend(record)
        self.progress.say(f"{step} {name}: starting {record.image.identity}")
        try:
            self.start(name, record)
        except BaseException:
            self.after_stop(name)
            raise
        return Outcome(ok=True, changed=True, message=f"boots {record.image.identity}")

    def _stop(self, name: str, step: str) -> bool:
        """Stop the node if it runs, by force after a while; whether it ran."""
        pid = self.running([name]).get(name)
        if pid is not None:
            self.progress.say(f"{step} {name}: stopping")
            record = self.node_state(name).current()
            keeps_data = record is None or record.image.volumes
            self.halt(name, pid, self.stop_deadline if keeps_data else self.volatile_stop_deadline, step)
        self.after_stop(name)
        return pid is not None


def image_files(images: t.Iterable[Image], formats: t.Iterable[str]) -> None:
    """Refuse images that cannot run here. :raises ComposeError: another architecture, or a file that is missing."""
    here = ARCHITECTURES.get(os.uname().machine, os.uname().machine)
    for image in images:
        if image.architecture != here:
            raise ComposeError(f"image {image.identity} is for {image.architecture}, but this host is {here}")
        for format_ in formats:
            path = image.path(format_)
            if not os.path.exists(path):
                raise ComposeError(f"image {image.identity}: its file {path} is missing")
