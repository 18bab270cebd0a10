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
from dataclasses import replace

from ...describe.ownership import DataVolume, Owner, foreign_data
from ...describe.state import Mark
from ...errors import ComposeError, InputError
from ...model import codec
from ...model.boot import Boot, Seen, Target
from ...model.deployment import Deployment, Node
from ...model.document import NodeDocument
from ...model.free import Options
from ...model.image import ARCHITECTURES, Image
from ...model.result import NodeResult, Problem
from ...progress import TOLD, Progress, listed
from .. import boot_signs
from ..base import Lost, Platform, Tell, per_node
from ..hands import HasPower
from ..ledger import foreign
from ..problems import noting
from . import limits, machine
from .limits import Needs
from .records import NodeState

#: Bytes that must be free in the state directory: records, documents, consoles.
SPACE = 64 * 1024 * 1024


class LocalPlatform(Platform, HasPower):
    """Nodes live and die on this host."""

    #: Seconds for a node with data volumes to stop its services and sync before it is killed.
    stop_deadline: t.ClassVar[int] = 40
    #: The same for a node without: whatever it does now, nothing of it stays.
    volatile_stop_deadline: t.ClassVar[int] = 10

    def __init__(self, deployment: Deployment, progress: Progress) -> None:
        super().__init__(deployment, progress)
        self.state = os.path.realpath(deployment.state)
        #: A step is at work on so many nodes that not each of them gets lines of its own.
        self._many = False

    # -- what a platform adds ------------------------------------------------------------------------------------

    @abstractmethod
    def running(self, names: t.Iterable[str]) -> dict[str, int]:
        """Process id of each of these nodes that runs."""

    @abstractmethod
    def start(self, name: str, record: Boot) -> None:
        """Prepare what the node needs (network, volumes) and start it; from now on only the node itself can fail."""

    @abstractmethod
    def halt(self, name: str, pid: int, seconds: int, step: str) -> None:
        """Have the node shut down in good order, or by force after so many seconds.

        :raises ComposeError: not even that ends it.
        """

    @abstractmethod
    def cut_power(self, name: str, pid: int) -> None:
        """End the node at once. :raises ComposeError: it does not even end so."""

    def after_stop(self, name: str) -> None:
        """Clean up behind a node that does not run any more, or could not be started."""

    def needs(self, node: Node) -> Needs:
        """What a node takes of this host's limits, at least, besides memory of containers."""
        return Needs()

    def effective_options(self, node: Node) -> Options:
        """The options that the node is to boot with."""
        return {key: self.option(node, key) for key in self.options}

    def places(self) -> set[str]:
        """State directories, of whatever deployment, from which nodes run on this host."""
        return set()

    # -- the platform --------------------------------------------------------------------------------------------

    def node_state(self, name: str) -> NodeState:
        return NodeState(self.state, name)

    def used(self) -> set[str]:
        """Identities of the images that nodes run, or may go back to."""
        records = [record for name in NodeState.names(self.state) for record in self.node_state(name).readable()]
        return {record.image.identity for record in records if record}

    def require_root(self) -> None:
        """:raises ComposeError: this is another user, who cannot run containers."""
        if os.geteuid() != 0:
            raise ComposeError(
                f"platform {self.name!r} needs root: run 'sudo env \"PATH=$PATH\" ansible-playbook …' (with become, "
                "where compose_host is another host), or use platform 'qemu'"
            )

    def check(self, nodes: t.Sequence[Node]) -> list[Problem]:
        problems = [
            Problem(f"has no address on {self.deployment.network}", key="address", node=node.name)
            for node in nodes
            if node.address is None
        ]
        there = self.state
        while not os.path.exists(there):
            there = os.path.dirname(there)
        if not os.access(there, os.W_OK | os.X_OK):
            why = f"no permission to write to {there}, needed for the state {self.state}"
            return [*problems, Problem(why, key="state_dir")]
        with noting(problems):
            self._require_here(node.name for node in nodes)
        with noting(problems):
            self._require_known(node.name for node in nodes)
        problems += foreign(self.state, self.name)
        data = {}
        for node in nodes:
            with noting(problems, node.name):
                data[node.name] = self.node_state(node.name).data(self.deployment)
        problems += foreign_data(self.deployment, nodes, data)
        free = os.statvfs(there).f_bavail * os.statvfs(there).f_frsize
        if free < SPACE:
            why = f"{there} has {free >> 20} MiB free, {SPACE >> 20} MiB are needed"
            problems.append(Problem(why, key="state_dir"))
        return problems + limits.lacking(self._needs(nodes), beside=self._needs_beside())

    def _needs(self, nodes: t.Sequence[Node]) -> list[Needs]:
        """What those of these nodes take that do not run yet."""
        running = self.running([node.name for node in nodes])
        return [self.needs(node) for node in nodes if node.name not in running]

    def _needs_beside(self) -> list[Needs]:
        """The same of other deployments that are started in the same run."""
        return [
            need
            for neighbour in self.neighbours
            if isinstance(neighbour.platform, LocalPlatform)
            for need in neighbour.platform._needs(neighbour.nodes())
        ]

    def observe(self, nodes: t.Sequence[Node]) -> dict[str, Seen]:
        wanted = {node.name: node for node in nodes}
        names = sorted({*wanted, *NodeState.names(self.state), *NodeState.names(self.state, "volumes")})
        running = self.running(names)
        seen = {}
        for name in names:
            current, verified = self.node_state(name).readable()
            if current is None:
                seen[name] = self._half_made(name, name in running)
                continue
            options = self.effective_options(wanted[name]) if name in wanted else current.options
            seen[name] = Seen(
                "running" if name in running else "stopped",
                current.image.identity,
                current.document_digest,
                verified.image.identity if verified else None,
                tuple(
                    f"{key} {was} → {value}"
                    for key, value in options.items()
                    # It was booted before there was such an option.
                    for was in [current.options.get(key, self.options[key].default)]
                    if was != value
                ),
                # The same image was verified with another document or other options.
                leftovers=verified is not None
                and verified != current
                and verified.image.identity == current.image.identity,
            )
        return seen

    def switch(self, targets: t.Sequence[Target], tell: Tell) -> dict[str, NodeResult]:
        by_name = {target.node.name: target for target in targets}
        self._make_way({name: target.document.address for name, target in by_name.items()}, "switch")

        def act(name: str) -> NodeResult:
            target = by_name[name]
            options = self.effective_options(target.node)
            record = Boot(self.name, target.image, target.document, target.document_digest, options)
            current = self.node_state(name).current()
            if not target.fresh and current is not None and current.boots_like(record) and self.running([name]):
                return NodeResult(ok=True, message=f"runs {record.image.identity}")
            return self._boot(name, record, "switch")

        return self._per_node("switch", by_name, act, tell)

    def commit(self, nodes: t.Sequence[Node], release: int) -> None:
        for node in nodes:
            self.node_state(node.name).commit()

    def revert(self, nodes: t.Sequence[Node], tell: Tell) -> dict[str, NodeResult]:
        def act(name: str) -> NodeResult:
            current, verified = self.node_state(name).readable()
            if verified is None:
                stopped = self._stop(name, "revert")
                return NodeResult(ok=True, changed=stopped, message="there is no verified image to go back to")
            if current is not None and current.boots_like(verified) and self.running([name]):
                return NodeResult(ok=True, message=f"runs its verified image {verified.image.identity}")
            return self._boot(name, verified, "revert")

        back = {node.name: self.node_state(node.name).readable()[1] for node in nodes}
        self._make_way({name: record.document.address for name, record in back.items() if record}, "revert")
        return self._per_node("revert", [node.name for node in nodes], act, tell)

    def refresh(self, node: Node, document: NodeDocument, document_digest: str) -> None:
        self.node_state(node.name).refresh(document, document_digest)

    def volumes(self, names: t.Iterable[str]) -> dict[str, list[DataVolume]]:
        found: dict[str, list[DataVolume]] = {}
        for name in names:
            with codec.forgiving():  # the plan refuses it; what is to be removed is removed
                found[name] = self.node_state(name).data(self.deployment)
        return found

    def remove(self, names: t.Sequence[str], *, data: bool, tell: Tell) -> dict[str, NodeResult]:
        self._require_here(names)

        def act(name: str) -> NodeResult:
            stopped = self._stop(name, "remove")
            removed = self.node_state(name).remove(data=data)
            return NodeResult(ok=True, changed=stopped or removed)

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
                trouble = boot_signs.trouble(self.console(node, boot_signs.LINES))
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

    # -- what test scripts ask for ---------------------------------------------------------------------------------

    def is_on(self, node: Node) -> bool:
        return node.name in self.running([node.name])

    def turn_on(self, node: Node) -> None:
        if self.is_on(node):
            return
        record = self.node_state(node.name).current()
        if record is None:
            raise ComposeError("nothing says what it ran", node=node.name)
        self.after_stop(node.name)
        self._start(node.name, record)

    def turn_off(self, node: Node, *, hard: bool) -> None:
        pid = self.running([node.name]).get(node.name)
        if pid is not None:
            if hard:
                self.cut_power(node.name, pid)
            else:
                self.halt(node.name, pid, self.stop_deadline, "script")
        self.after_stop(node.name)

    # -- whose nodes run where -----------------------------------------------------------------------------------

    def _require_here(self, names: t.Iterable[str]) -> None:
        """Refuse to act while nodes of this very deployment run from another state directory.

        :raises ComposeError: names node, process, both directories, and the remedy.
        """
        mark = Mark.read(self.state)
        former = set(mark.directories if mark else ()) - {self.state}
        others = {place for place in self.places() - {self.state, *former} if self._is_ours(place)}
        names = {*names, *(node.name for node in self.deployment.nodes), *NodeState.names(self.state)}
        for place in sorted(former | others):
            there = type(self)(replace(self.deployment, state=place), self.progress)
            running = there.running({*names, *NodeState.names(place)})
            if running:
                shown = ", ".join(f"{name} (process {pid})" for name, pid in sorted(running.items())[:5])
                raise ComposeError(
                    f"{shown} of this deployment run from the state directory {place}, not from {self.state}. Nothing "
                    "was touched. A state directory is moved while no node runs: set state_dir to the former place, or "
                    f"move the directory back to {place}; then destroy the nodes, which keeps their data, move the "
                    "directory, and deploy again. Two deployments of one composition need different names"
                )

    def _is_ours(self, state: str) -> bool:
        try:
            mark = Mark.read(state)
        except (OSError, InputError):
            return False
        return mark is not None and mark.is_of(self.deployment)

    def _require_known(self, names: t.Iterable[str]) -> None:
        """Refuse to start a node beside one that nothing is known of.

        :raises ComposeError: names node, process, and the remedy.
        """
        unknown = {name: pid for name, pid in self.running(names).items() if not self.node_state(name).exists()}
        if unknown:
            shown = ", ".join(f"{name} (process {pid})" for name, pid in sorted(unknown.items())[:5])
            raise ComposeError(
                f"{shown} of this deployment runs, but {self.state} knows nothing of it. Nothing was touched. If the "
                "directory was moved, move it back; if it is lost, destroy the node first"
            )

    # -- one node ------------------------------------------------------------------------------------------------

    def _half_made(self, name: str, runs: bool) -> Seen:
        """A node without a record: none at all, or one that a run was killed at, or whose record is damaged."""
        state = self.node_state(name)
        if not runs and not state.exists():
            return Seen("absent")
        self.progress.say(f"warning: {state.directory} does not say what {name} runs: it is replaced, or removed")
        return Seen("running" if runs else "stopped", leftovers=True)

    def _per_node(
        self, step: str, names: t.Iterable[str], act: t.Callable[[str], NodeResult], tell: Tell
    ) -> dict[str, NodeResult]:
        missing = set(names)
        self._many = len(missing) > TOLD

        def told(name: str, outcome: NodeResult) -> None:
            missing.discard(name)
            tell(name, outcome)

        with self.progress.waiting(lambda: f"{step}: waiting for {listed(sorted(missing))}"):
            return per_node(sorted(missing), act, told, step=step)

    def _make_way(self, wanted: t.Mapping[str, str | None], step: str) -> None:
        """Stop nodes that go to other addresses, where others get theirs: at no time have two the same.

        :param wanted: node → the address that it is going to have.
        """
        getters = {address: name for name, address in wanted.items() if address is not None}
        for name in wanted:
            record, _verified = self.node_state(name).readable()
            has = None if record is None else record.document.address
            if has is not None and getters.get(has, name) != name:
                self._stop(name, step)

    def _boot(self, name: str, record: Boot, step: str) -> NodeResult:
        """Stop what runs, and boot ``record``."""
        self._stop(name, step)
        state = self.node_state(name)
        state.own(Owner.of(self.deployment, name, record.image.role), record.image.volumes)
        state.told(record)
        if not self._many:
            self.progress.say(f"{step} {name}: starting {record.image.identity}")
        self._start(name, record)
        return NodeResult(ok=True, changed=True, message=f"boots {record.image.identity}")

    def _start(self, name: str, record: Boot) -> None:
        try:
            self.start(name, record)
        except BaseException:
            self.after_stop(name)
            raise

    def _stop(self, name: str, step: str) -> bool:
        """Stop the node if it runs, by force after a while; whether it ran."""
        pid = self.running([name]).get(name)
        if pid is not None:
            if not self._many:
                self.progress.say(f"{step} {name}: stopping")
            record, _verified = self.node_state(name).readable()
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
