# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment on real platforms, under the functions that the modules call; images are made, not built."""

from __future__ import annotations

import os
import time
import typing as t
from dataclasses import dataclass, field, replace
from pathlib import Path

from ansible_collections.immutable.compose.plugins.module_utils.builders.base import Builder
from ansible_collections.immutable.compose.plugins.module_utils.checks.deadline import DeadlineError
from ansible_collections.immutable.compose.plugins.module_utils.deploy.engine import Engine
from ansible_collections.immutable.compose.plugins.module_utils.deploy.planning import Wish
from ansible_collections.immutable.compose.plugins.module_utils.deploy.removal import destroy
from ansible_collections.immutable.compose.plugins.module_utils.deploy.transaction import Transaction
from ansible_collections.immutable.compose.plugins.module_utils.describe.held import HeldAddresses
from ansible_collections.immutable.compose.plugins.module_utils.describe.ownership import DataVolume
from ansible_collections.immutable.compose.plugins.module_utils.images.bundle import write_bundle
from ansible_collections.immutable.compose.plugins.module_utils.model import codec
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Seen
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Composition, Role, Volume
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.free import Parameters
from ansible_collections.immutable.compose.plugins.module_utils.model.image import ARCHITECTURES, Image, Installed
from ansible_collections.immutable.compose.plugins.module_utils.nodes.connection import GivenUp, SSHError
from ansible_collections.immutable.compose.plugins.module_utils.nodes.output import Output
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .ground import Boot, Ground

Result = dict[str, t.Any]
#: Identity of an image that boots, and is not well.
ILL = "ill"
#: Between the steps of a run: called with the name of each before it is made.
Before = t.Callable[[str], object]


@dataclass
class Site:
    """One deployment of the role ``web``."""

    ground: Ground
    deployment: Deployment
    #: 1 for the first deployment of the test, 2 for the second.
    number: int = 1
    #: Identity that the composition means.
    means: str = "v1"
    #: MiB of the data volume of each node; 0: there is none.
    data: int = 0
    #: Nodes that do not answer.
    silent: set[str] = field(default_factory=set)
    #: Nodes that are not well with one boot: the first that they are asked in, which is kept here.
    ill: dict[str, Boot | None] = field(default_factory=dict)
    #: Nodes whose machine ends when they are asked the first time.
    dying: set[str] = field(default_factory=set)
    #: Nodes that were given a new document while they ran.
    told: list[str] = field(default_factory=list)
    #: Roles that were built.
    built: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [node.name for node in self.deployment.nodes]

    def count(self, count: int) -> None:
        """So many nodes: ``web1``, ``web2``, …"""
        options = self.ground.options(self.number)
        prefix = self.deployment.network.rpartition(".")[0]
        numbers = range(1, count + 1)
        self.set(nodes=tuple(Node(f"web{at}", "web", at, f"{prefix}.{at}", options=options) for at in numbers))

    def set(self, **changes: t.Any) -> None:
        """Change the deployment."""
        self.deployment = replace(self.deployment, **changes)

    # -- the steps -----------------------------------------------------------------------------------------------

    def engine(self, *batch: str) -> Engine:
        progress = Progress(os.path.join(os.path.dirname(self.deployment.state), f"{self.deployment.name}.log"))
        deployment = HeldAddresses.read(self.deployment.state).settle(self.deployment)
        return Engine(deployment, batch or self.names, "/support", progress)

    def transaction(self, *batch: str) -> Transaction:
        return Transaction(self.engine(*batch))

    def plan(self, **wish: t.Any) -> dict[str, str]:
        """Node → what would happen to it."""
        steps = self.transaction().plan(Wish(**wish), hold=False).nodes
        return {name: step.action for name, step in steps.items()}

    def deploy(self, *batch: str, before: Before = lambda step: None, **wish: t.Any) -> Result:
        """A run as the role ``deploy`` makes it, of these nodes or all; the result of its last step."""
        before("plan")
        plan = self.transaction(*batch).plan(Wish(retire=not batch, **wish), hold=True)
        if plan.pending:
            for step in ("build", "stage", "switch"):
                before(step)
                getattr(self.transaction(*batch), step)()
        before("verify")
        self.transaction(*batch).verify()
        before("settle")
        return codec.encode(self.transaction(*batch).settle())

    def destroy(self, *batch: str, data: bool = False, pretend: bool = False) -> Result:
        return codec.encode(destroy(self.engine(*batch), data=data, pretend=pretend))

    # -- what is there -------------------------------------------------------------------------------------------

    def runs(self) -> dict[str, str]:
        """Node → identity of what it really runs."""
        return {name: boot.identity for name, boot in self.boots().items()}

    def boots(self) -> dict[str, Boot]:
        found = {name: self.ground.boot(self.deployment, name) for name in self.names}
        return {name: boot for name, boot in found.items() if boot is not None}

    def observed(self) -> dict[str, Seen]:
        """As the platform says."""
        return self.engine().platform.observe(self.deployment.nodes)

    def volumes(self) -> dict[str, list[DataVolume]]:
        return {name: found for name, found in self.engine().platform.volumes(self.names).items() if found}

    def release(self) -> int | None:
        current = self.engine().releases.current()
        return current.number if current else None

    def said(self) -> str:
        """All lines of progress."""
        return Path(self.deployment.state).with_name(f"{self.deployment.name}.log").read_text()


class Maker(Builder):
    """Makes what the site means."""

    name = "maker"
    #: By what their compositions are called.
    sites: t.ClassVar[dict[str, Site]]

    def _site(self, path: str) -> Site:
        return self.sites[path]

    def evaluate(self, path: str, parameters: Parameters) -> Composition:
        site = self._site(path)
        return Composition("site", self.name, path, site.means, {"web": Role("web", site.means)}, test_script="")

    def identify(self, *what: t.Any) -> dict[str, str]:
        raise AssertionError("every identity is known already")

    def build(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str], roots: str
    ) -> dict[str, Image]:
        site = self._site(path)
        site.built += roles
        volumes = {"data": Volume("/srv/data", site.data)} if site.data else {}
        architecture = ARCHITECTURES[os.uname().machine]
        image = Image(
            "web",
            self.name,
            site.means,
            architecture,
            {},
            volumes=volumes,
            cmdline=f"boots {site.means}",
            installed=Installed("/boot/vmlinuz", "/boot/initrd.img", "gzip"),
        )
        files = {key: str(file) for key, file in site.ground.files(site.means).items()}
        return {"web": write_bundle(os.path.join(roots, site.means), image, files)}

    def is_built(self, path: str, *what: t.Any) -> dict[str, bool]:
        return dict.fromkeys(what[1], False)

    def check_reproducible(self, *what: t.Any) -> dict[str, str]:
        return {}


class Answers:
    """In place of a connection to a node: says what really runs there."""

    def __init__(self, site: Site, node: str) -> None:
        self.site, self.node = site, node
        self.last_error = ""
        self._hopeless = ""

    def _boot(self) -> Boot | None:
        return None if self.node in self.site.silent else self.site.ground.boot(self.site.deployment, self.node)

    def open(self, timeout: float) -> None:
        if self.node in self.site.dying:
            self.site.dying.remove(self.node)
            self.site.ground.end(self.site.deployment, self.node)
        end = time.monotonic() + timeout
        while self._boot() is None:
            self.last_error = "no answer"
            if self._hopeless:
                raise GivenUp(self._hopeless)
            if time.monotonic() > end:
                raise DeadlineError("too late")
            time.sleep(0.1)
        self.last_error = ""

    def give_up(self, why: str) -> None:
        self._hopeless = why

    def run(self, command: str, timeout: float) -> Output:
        boot = self._boot()
        if boot is None:
            raise SSHError("no answer")
        ill = boot.identity == ILL or (self.node in self.site.ill and self.site.ill[self.node] in (None, boot))
        if ill and self.node in self.site.ill:
            self.site.ill[self.node] = boot
        failed = "failed web.service\n" if ill else ""
        state = "degraded" if ill else "running"
        return Output(0, f"identity {boot.identity}\nup 3600 20\n{failed}state {state}\n".encode(), b"")

    def close(self) -> None:
        pass
