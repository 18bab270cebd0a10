# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one interface behind which every platform stands. PRIVATE to the collection.

The engine calls, in this order: :meth:`~Platform.check`, :meth:`~Platform.observe`, :meth:`~Platform.stage`,
:meth:`~Platform.switch`, then :meth:`~Platform.commit` or :meth:`~Platform.revert`, and :meth:`~Platform.prune`; at the
end of nodes :meth:`~Platform.remove`, and after the last one :meth:`~Platform.teardown`.
Every method may be called again after a run was killed in the middle of it, and must then finish the work. What goes
wrong with one node is that node's :class:`NodeResult`; an exception is everybody's.

What is written here is tried on every platform of the registry by tests/contract.
"""

from __future__ import annotations

import typing as t
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass

from ..describe.options import Option
from ..describe.ownership import DataVolume
from ..errors import ComposeError, in_words
from ..model.boot import Seen, Target
from ..model.deployment import Deployment, Node
from ..model.document import Disk, Interface, NodeDocument
from ..model.image import Image
from ..model.result import NodeResult, Problem
from ..nodes.endpoint import Endpoint
from ..progress import Progress

if t.TYPE_CHECKING:
    from ..nodes.connection import Connection


@dataclass(frozen=True)
class Lost:
    """A node that cannot answer any more as it is."""

    #: In words.
    why: str
    #: Whether it has ended; else it may answer yet, with the SSH server of an emergency mode.
    certain: bool


@dataclass(frozen=True)
class Neighbour:
    """The platform of another deployment on the same host, and what the run is about to start there."""

    platform: Platform
    starts: t.Collection[str]

    def nodes(self) -> list[Node]:
        """What is about to be started."""
        return [node for node in self.platform.deployment.nodes if node.name in self.starts]


Tell = t.Callable[[str, NodeResult], None]


def distinct_images(targets: t.Iterable[Target]) -> list[Image]:
    """The images of targets, each once."""
    return list({target.image.identity: target.image for target in targets}.values())


class Platform(ABC):
    """Where nodes run."""

    name: t.ClassVar[str]
    #: Image formats that :meth:`stage` needs; options of the deployment may add some.
    formats: tuple[str, ...]
    #: Options in the deployment file, by name.
    options: t.ClassVar[t.Mapping[str, Option]] = {}
    #: Option → variable in which other inventory sources have it, for roles that are placed on their hosts. Wins over
    #: what the deployment file says for all nodes; role and node win over it.
    host_variables: t.ClassVar[t.Mapping[str, str]] = {}
    #: What logs in to the platform's own service, if it has one: name → environment variable of the controller. What
    #: is set there, or in the variable ``compose_credentials``, is in ``deployment.credentials``.
    environment: t.ClassVar[t.Mapping[str, str]] = {}
    #: Those of them that are no secrets. All others are masked wherever output has them.
    public_credentials: t.ClassVar[t.Collection[str]] = ()
    #: Whether roles without a kernel can run here.
    boots_kernel: t.ClassVar[bool] = True
    #: Whether machines have addresses of their own (:meth:`addresses`): then none of the network is proposed.
    own_addresses: t.ClassVar[bool] = False
    #: Whether machines may have to be reserved first, see :meth:`acquire`.
    borrows: t.ClassVar[bool] = False
    #: The platform on which such nodes run if they are folded onto the machines of another deployment; empty: none.
    folded: t.ClassVar[str] = ""
    #: Whether it is that of folded nodes: chosen by ``fold`` in the deployment file, not by its name.
    is_fold: t.ClassVar[bool] = False

    def __init__(self, deployment: Deployment, progress: Progress) -> None:
        self.deployment = deployment
        self.progress = progress
        #: What :meth:`check` has to count in, though it does not run yet.
        self.neighbours: t.Sequence[Neighbour] = ()

    @classmethod
    def makes_machine(cls, node: Node, known: t.Collection[str]) -> bool:
        """Whether a node on a host of another inventory source gets a machine of its own, rather than that host.

        :param known: options that come from the variables of the host, see ``host_variables``.
        """
        return True

    @classmethod
    def machines_of(cls, deployment: Deployment) -> dict[str, str]:
        """Node → the name of its machine, where it has one that is not its own, and that is known to this host."""
        return {}

    def option(self, node: Node, name: str) -> t.Any:
        """Value of an option for a node, or its default."""
        return node.options.get(name, self.options[name].default)

    @abstractmethod
    def check(self, nodes: t.Sequence[Node]) -> list[Problem]:
        """All that cannot work, before anything is touched: programs, permissions, ports, space.

        What several nodes have in common is a problem of each, in the same words, or of none.

        :raises ComposeError: as long as this is not put right, nothing else can be found out.
        """

    def check_volumes(self, nodes: t.Sequence[Node], volumes: t.Mapping[str, t.Collection[str]]) -> list[Problem]:
        """The nodes that would have no place for a data volume, before anything is touched.

        :param volumes: role → names of its data volumes.
        """
        return []

    def addresses(self, nodes: t.Sequence[Node]) -> dict[str, str]:
        """Node → the address that its machine has, where that is not for the deployment to say, and is known."""
        return {}

    def port_address(self, node: Node) -> str | None:
        """Where a node is asked for its ports; ``None`` where nobody knows an address that it is sure to have."""
        return node.address

    @abstractmethod
    def interfaces(self, node: Node) -> tuple[Interface, ...]:
        """``interfaces`` of the node document: how the node finds and configures its network interfaces.

        Called for one node after another: what has to be asked for it is asked once for all of them.
        """

    def disks(self, node: Node) -> tuple[Disk, ...]:
        """``disks`` of the node document: what the node has to prepare itself before it mounts its data volumes."""
        return ()

    @abstractmethod
    def endpoint(self, node: Node) -> Endpoint:
        """How SSH reaches the node. :raises ComposeError: nobody knows (yet)."""

    def shell(self, node: Node) -> Connection | None:
        """What the checks run commands with, where it is not SSH to :meth:`endpoint`: same methods."""
        return None

    @abstractmethod
    def observe(self, nodes: t.Sequence[Node]) -> dict[str, Seen]:
        """What runs now, for each of ``nodes`` (by name), and for every other node that exists or has left data."""

    def acquire(self) -> bool:
        """Have machines for the nodes, if they have to be reserved: before :meth:`stage`, if that has anything to do.

        They are given back by :meth:`teardown`, or :meth:`run_failed`, and never forgotten.

        :returns: whether anything was reserved.
        """
        return False

    def run_failed(self) -> bool:
        """A run has failed, and has gone back as far as it could: what was acquired may be given back.

        :returns: whether anything was.
        """
        return False

    @abstractmethod
    def stage(self, targets: t.Sequence[Target]) -> bool:
        """Bring what these nodes are to boot to where it is needed; touches nothing that runs.

        :returns: whether anything was done.
        """

    @abstractmethod
    def switch(self, targets: t.Sequence[Target], tell: Tell) -> dict[str, NodeResult]:
        """Create or replace nodes: boot the target image. The last verified image is kept for :meth:`revert`.

        A node that runs what its target says already is left alone, unless a fresh start is asked for.
        Called once for each wave of nodes that may be down together; the same holds for :meth:`revert`.
        Returns when each node was started (not: when it answers). ``tell`` is called as each node is done.
        """

    @abstractmethod
    def commit(self, nodes: t.Sequence[Node], release: int) -> None:
        """What these nodes run is verified now: :meth:`revert` will return to it.

        :param release: the number under which it is recorded already.
        """

    @abstractmethod
    def revert(self, nodes: t.Sequence[Node], tell: Tell) -> dict[str, NodeResult]:
        """Boot each node's last verified image with the document it had then; stop nodes that never had one.

        Nodes that already run their last verified image are left alone (``changed`` is false).
        """

    def confirm(self, nodes: t.Sequence[Node]) -> dict[str, str]:
        """Nodes that were booted with their last verified image again are found well: they stay.

        For platforms whose nodes do not stay by themselves.

        :returns: node → why it does not.
        """
        return {}

    @abstractmethod
    def refresh(self, node: Node, document: NodeDocument, document_digest: str) -> None:
        """Keep a new document for the node's next boot, and its digest for :meth:`observe`; reboots nothing.

        The engine itself gives the document to the running node.
        """

    @abstractmethod
    def remove(self, names: t.Sequence[str], *, data: bool, tell: Tell) -> dict[str, NodeResult]:
        """Stop and forget nodes of this deployment; their data volumes only with ``data``."""

    def volumes(self, names: t.Iterable[str]) -> dict[str, list[DataVolume]]:
        """Data volumes that exist of nodes that exist or existed: what :meth:`remove` with ``data`` takes with it."""
        return {}

    @abstractmethod
    def console(self, node: Node, lines: int = 50) -> str:
        """Tail of the node's console log."""

    def lost(self, nodes: t.Sequence[Node]) -> dict[str, Lost]:
        """Those of these nodes that cannot answer any more, by name.

        Asked every second or so for all nodes that are waited for: must be cheap. Platforms that cannot tell say none.
        """
        return {}

    @abstractmethod
    def prune(self, keep: t.Collection[str]) -> None:
        """Forget staged images whose identity is neither in ``keep`` nor used by any node."""

    def shares(self) -> list[str]:
        """What is there of no single node, in words: what :meth:`teardown` would drop or give back."""
        return []

    def teardown(self) -> None:
        """After the last node was removed: drop what they shared (networks, staged images)."""


def endpoints(platform: Platform) -> dict[str, Endpoint]:
    """How SSH reaches the nodes of a deployment, by name; those that cannot be reached yet are left out."""
    found = {}
    for node in platform.deployment.nodes:
        with suppress(ComposeError):
            found[node.name] = platform.endpoint(node)
    return found


def per_node(
    names: t.Iterable[str], act: t.Callable[[str], NodeResult], tell: Tell, *, step: str, parallel: int = 8
) -> dict[str, NodeResult]:
    """Act on each node in its own thread; a :class:`ComposeError`, or a file, fails that node only."""
    names = list(names)
    outcomes: dict[str, NodeResult] = {}

    def guarded(name: str) -> NodeResult:
        try:
            return act(name)
        except ComposeError as error:
            error.node, error.step = error.node or name, error.step or step
            return NodeResult(ok=False, changed=True, message=str(error))
        except OSError as error:
            return NodeResult(ok=False, changed=True, message=f"{step}, {name}: {in_words(error)}")

    if not names:
        return outcomes
    with ThreadPoolExecutor(max_workers=min(parallel, len(names))) as pool:
        futures = {pool.submit(guarded, name): name for name in names}
        for future in as_completed(futures):
            outcomes[futures[future]] = future.result()
            tell(futures[future], future.result())
    return outcomes
