# SPDX-License-Identifier: GPL-3.0-or-later
"""A builder and a platform that are nothing but records, under the real engine: whole runs in no time."""

from __future__ import annotations

import json
import os
import re
import typing as t
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.base import Builder
from ansible_collections.immutable.compose.plugins.module_utils.builders.registry import BUILDERS
from ansible_collections.immutable.compose.plugins.module_utils.deploy.engine import Engine
from ansible_collections.immutable.compose.plugins.module_utils.deploy.planning import Wish
from ansible_collections.immutable.compose.plugins.module_utils.deploy.service import Service
from ansible_collections.immutable.compose.plugins.module_utils.deploy.transaction import Transaction
from ansible_collections.immutable.compose.plugins.module_utils.describe.held import HeldAddresses
from ansible_collections.immutable.compose.plugins.module_utils.model import codec
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Seen, Target
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Composition, Role, Volume
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.document import Interface, NodeDocument
from ansible_collections.immutable.compose.plugins.module_utils.model.follow import Follows
from ansible_collections.immutable.compose.plugins.module_utils.model.free import Parameters
from ansible_collections.immutable.compose.plugins.module_utils.model.hooks import Ask
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image
from ansible_collections.immutable.compose.plugins.module_utils.model.numbers import Numbers
from ansible_collections.immutable.compose.plugins.module_utils.model.result import NodeResult, Problem
from ansible_collections.immutable.compose.plugins.module_utils.model.step import StepResult
from ansible_collections.immutable.compose.plugins.module_utils.nodes import refresh
from ansible_collections.immutable.compose.plugins.module_utils.nodes.connection import GivenUp
from ansible_collections.immutable.compose.plugins.module_utils.nodes.endpoint import Endpoint
from ansible_collections.immutable.compose.plugins.module_utils.nodes.output import Output
from ansible_collections.immutable.compose.plugins.module_utils.platforms.base import Platform, Tell, distinct_images
from ansible_collections.immutable.compose.plugins.module_utils.platforms.registry import PLATFORMS
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress


@dataclass
class Machine:
    """A node as the platform knows it."""

    target: Target
    running: bool = True
    verified: Target | None = None


@dataclass
class Site:
    """A deployment, what its composition means, and what the platform has."""

    deployment: Deployment
    #: Role → identity that the composition means.
    means: dict[str, str] = field(default_factory=dict)
    test_script: str = ""
    #: TCP ports of every role, as the composition has it now.
    ports: tuple[int, ...] = ()
    #: Directories of every role that follow a git repository, as the composition has them now.
    follow: Follows = field(default_factory=dict)
    #: Identity of an image → the ports that its nodes listen on.
    listens: dict[str, set[int]] = field(default_factory=dict)
    #: Identity of an image → numbers of its users; then it has a data volume.
    numbers: dict[str, dict[str, int]] = field(default_factory=dict)
    machines: dict[str, Machine] = field(default_factory=dict)
    #: Identities that were staged, and are kept.
    staged: set[str] = field(default_factory=set)
    #: Identities of images that boot, but are not well; and of those that cannot even be started.
    ill: set[str] = field(default_factory=set)
    unbootable: set[str] = field(default_factory=set)
    #: Nodes that are not well until they boot again; of these, those that then are no better; and nodes that make
    #: another sick when they boot.
    sick: set[str] = field(default_factory=set)
    incurable: set[str] = field(default_factory=set)
    infected: dict[str, str] = field(default_factory=dict)
    #: Node → why somebody has changed it though it is sealed; until it boots again.
    unsealed: dict[str, str] = field(default_factory=dict)
    #: Nodes that do not answer.
    silent: set[str] = field(default_factory=set)
    #: Nodes that cannot be removed.
    stuck: set[str] = field(default_factory=set)
    #: Nodes with something to clean up.
    leftovers: set[str] = field(default_factory=set)
    #: What is there of no single node, such as a job that has machines; a run that fails gives it back.
    shared: list[str] = field(default_factory=list)
    #: Hook and node → why it fails.
    refuses: dict[tuple[str, str], str] = field(default_factory=dict)
    #: The run is killed when it comes to this hook, before it runs.
    killed_at: str = ""
    #: Every call of the platform, and every hook, with the nodes that it was about.
    calls: list[tuple[str, ...]] = field(default_factory=list)

    def set(self, **changes: t.Any) -> None:
        """Change the deployment."""
        self.deployment = replace(self.deployment, **changes)

    def called(self, *names: str) -> list[tuple[str, ...]]:
        """The calls of these names, in order."""
        return [call for call in self.calls if call[0] in names]

    def runs(self) -> dict[str, str]:
        """Node → identity of what it runs."""
        return {name: each.target.image.identity for name, each in sorted(self.machines.items()) if each.running}

    def engine(self, *batch: str, addresses: HeldAddresses | None = None) -> Engine:
        names = batch or [node.name for node in self.deployment.nodes]
        progress = Progress(os.path.join(os.path.dirname(self.deployment.state), "progress"))
        return Engine(self.deployment, names, "/support", progress, addresses=addresses)

    def said(self) -> str:
        """All lines of progress."""
        return Path(self.deployment.state).with_name("progress").read_text()

    def transaction(self, *batch: str) -> Transaction:
        return Transaction(self.engine(*batch))

    def deploy(self, *batch: str, keep_failed: bool = False, **wish: t.Any) -> dict[str, t.Any]:
        """The steps of the role ``deploy``, each in a transaction of its own: what their modules return, by name."""
        self.calls.clear()
        done: dict[str, StepResult] = {}
        done["plan"] = plan = self.transaction(*batch).plan(Wish(retire=not batch, **wish), hold=True)
        steps = ["build", "stage", "switch", "verify", "settle"] if plan.pending else ["verify", "settle"]
        while steps:
            transaction = self.transaction(*batch)
            step = steps[0]
            settings = {"keep_failed": keep_failed} if step == "settle" else {}
            done[step] = result = getattr(transaction, step)(**settings)
            ask: Ask | None = getattr(result, "ask", None)
            if ask is not None and ask.hook == self.killed_at:
                self.killed_at = ""
                break
            if ask is not None:
                self.calls.append((ask.hook, *ask.nodes))
            if ask is None or ask.hook == "end":
                steps.pop(0)
            else:
                answers = {name: self.refuses.get((ask.hook, name), "") for name in ask.nodes}
                self.transaction(*batch).hooked(answers)
        return {step: codec.encode(result) for step, result in done.items()}

    def out(self) -> set[str]:
        """Nodes that are out of service."""
        return set(Service(self.deployment.state, self.deployment.hooks).out)


class Stub(Builder):
    """Builds what the site says."""

    name = "stub"
    site: t.ClassVar[Site]

    def evaluate(self, path: str, parameters: Parameters) -> Composition:
        roles = {
            name: Role(name, identity, ports=self.site.ports, follow=self.site.follow)
            for name, identity in self.site.means.items()
        }
        digest = "-".join([*self.site.means.values(), self.site.test_script])
        return Composition("site", self.name, path, digest, roles, test_script=self.site.test_script)

    def identify(self, *what: t.Any) -> dict[str, str]:
        raise AssertionError("every identity is known already")

    def build(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str], roots: str
    ) -> dict[str, Image]:
        images = {}
        for role in roles:
            identity = self.site.means[role]
            users = self.site.numbers.get(identity, {})
            volumes = {"data": Volume("/srv")} if users else {}
            images[role] = Image(role, self.name, identity, "amd64", {}, volumes=volumes, numbers=Numbers(users))
        for image in images.values():
            codec.write(os.path.join(roots, image.identity, "image.json"), image)
        return images

    def is_built(self, path: str, *what: t.Any) -> dict[str, bool]:
        return dict.fromkeys(what[1], False)

    def check_reproducible(self, *what: t.Any) -> dict[str, str]:
        return {}


class Rack(Platform):
    """Has what the site says."""

    name = "rack"
    formats = ("root",)
    boots_kernel = False
    site: t.ClassVar[Site]

    def _note(self, call: str, names: t.Iterable[str]) -> None:
        self.site.calls.append((call, *names))

    def check(self, nodes: t.Sequence[Node]) -> list[Problem]:
        return []

    def interfaces(self, node: Node) -> tuple[Interface, ...]:
        return ()

    def endpoint(self, node: Node) -> Endpoint:
        return Endpoint("127.0.0.1")

    def shell(self, node: Node) -> t.Any:
        return Shell(self.site, node.name)

    def observe(self, nodes: t.Sequence[Node]) -> dict[str, Seen]:
        self._note("observe", [node.name for node in nodes])
        seen = {node.name: Seen("absent") for node in nodes}
        for name, machine in self.site.machines.items():
            seen[name] = Seen(
                "running" if machine.running else "stopped",
                machine.target.image.identity,
                machine.target.document_digest,
                machine.verified.image.identity if machine.verified else None,
                leftovers=name in self.site.leftovers,
            )
        return seen

    def stage(self, targets: t.Sequence[Target]) -> bool:
        self._note("stage", [target.node.name for target in targets])
        self.site.staged |= {image.identity for image in distinct_images(targets)}
        return True

    def switch(self, targets: t.Sequence[Target], tell: Tell) -> dict[str, NodeResult]:
        self._note("switch", [target.node.name for target in targets])
        outcomes = {}
        for target in targets:
            assert target.image.identity in self.site.staged
            machine = self.site.machines.setdefault(target.node.name, Machine(target))
            machine.target = target
            machine.running = target.image.identity not in self.site.unbootable
            self.site.unsealed.pop(target.node.name, None)
            if target.node.name not in self.site.incurable:
                self.site.sick.discard(target.node.name)
            if target.node.name in self.site.infected:
                self.site.sick.add(self.site.infected[target.node.name])
            outcomes[target.node.name] = NodeResult(machine.running, True, "" if machine.running else "does not boot")
            tell(target.node.name, outcomes[target.node.name])
        return outcomes

    def commit(self, nodes: t.Sequence[Node], release: int) -> None:
        self._note("commit", [str(release), *(node.name for node in nodes)])
        for node in nodes:
            machine = self.site.machines[node.name]
            machine.verified = machine.target

    def revert(self, nodes: t.Sequence[Node], tell: Tell) -> dict[str, NodeResult]:
        self._note("revert", [node.name for node in nodes])
        outcomes = {}
        for node in nodes:
            machine = self.site.machines.get(node.name)
            changed = machine is not None and not (machine.running and machine.target == machine.verified)
            if machine is not None and changed:
                machine.running = machine.verified is not None
                machine.target = machine.verified or machine.target
            outcomes[node.name] = NodeResult(ok=True, changed=changed)
            tell(node.name, outcomes[node.name])
        return outcomes

    def refresh(self, node: Node, document: NodeDocument, document_digest: str) -> None:
        if node.name in self.site.silent:
            raise GivenUp("no answer", node=node.name)
        machine = self.site.machines[node.name]
        machine.target = replace(machine.target, document=document, document_digest=document_digest)

    def remove(self, names: t.Sequence[str], *, data: bool, tell: Tell) -> dict[str, NodeResult]:
        self._note("remove", names)
        stuck = {
            name: NodeResult(ok=False, message=f"remove, {name}: stuck") for name in names if name in self.site.stuck
        }
        free = [name for name in names if name not in stuck]
        gone = {name: NodeResult(ok=True, changed=self.site.machines.pop(name, None) is not None) for name in free}
        return {**gone, **stuck}

    def shares(self) -> list[str]:
        return self.site.shared

    def teardown(self) -> None:
        self._note("teardown", [])
        self.site.shared = []

    def run_failed(self) -> bool:
        gave, self.site.shared = bool(self.site.shared), []
        return gave

    def console(self, node: Node, lines: int = 50) -> str:
        return ""

    def prune(self, keep: t.Collection[str]) -> None:
        self._note("prune", [])
        self.site.staged &= set(keep)
        self.site.leftovers.clear()


class Shell:
    """What a node answers to the built-in checks."""

    last_error = ""
    opened = 0

    def __init__(self, site: Site, name: str) -> None:
        self.site, self.name = site, name

    def open(self, timeout: float) -> None:
        if self.name in self.site.silent:
            raise GivenUp("no answer", node=self.name)

    def run(self, command: str, timeout: float, *, surroundings: str | None = None) -> Output:
        self.open(timeout)
        if "/dev/tcp/$place" in command:  # what it is asked of others is open
            return Output(0, "\n".join(re.findall(r"[\d.]+/\d+", command)).encode(), b"")
        self.site.calls.append(("check", self.name))
        identity = self.site.machines[self.name].target.image.identity
        failed = "failed web.service\n" if identity in self.site.ill or self.name in self.site.sick else ""
        asked = re.findall(r"\d+", "".join(re.findall(r"^ports=('.*?'|\d*)$", command, re.MULTILINE)))
        closed = sorted(set(map(int, asked)) - self.site.listens.get(identity, set()))
        state = f"state {'degraded' if failed else 'running'}\n"
        said = f"identity {identity}\nup 3600 20\n{failed}" + "".join(f"closed {port}\n" for port in closed)
        if self.name in self.site.unsealed:
            entry = {"time": "now", "by": "me@desk", "reason": self.site.unsealed[self.name], "action": "raw"}
            said += f"unsealed {json.dumps(entry)}\n"
        return Output(0, f"{said}{state}".encode(), b"")

    def close(self) -> None:
        pass


@pytest.fixture
def rack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Three nodes of the role ``web``, ``web1`` to ``web3``, that do not exist yet."""
    nodes = tuple(Node(f"web{index}", "web", index, f"10.87.0.{index}") for index in (1, 2, 3))
    site = Site(Deployment("lab", "/composition", "stub", "rack", nodes, state=str(tmp_path / "state")), {"web": "v1"})
    monkeypatch.setattr(refresh, "push_document", lambda *args: None)
    monkeypatch.setitem(t.cast("dict[str, t.Any]", PLATFORMS), "rack", type("Rack", (Rack,), {"site": site}))
    monkeypatch.setitem(t.cast("dict[str, t.Any]", BUILDERS), "stub", type("Stub", (Stub,), {"site": site}))
    return site
