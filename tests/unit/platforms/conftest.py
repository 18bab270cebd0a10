"""A platform whose machines are shell scripts: real processes, in no time."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe.options import Option
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Boot, Target
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Volume
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.document import Interface
from ansible_collections.immutable.compose.plugins.module_utils.model.image import ARCHITECTURES, Image, ImageFile
from ansible_collections.immutable.compose.plugins.module_utils.model.result import NodeResult
from ansible_collections.immutable.compose.plugins.module_utils.nodes.endpoint import Endpoint
from ansible_collections.immutable.compose.plugins.module_utils.platforms.local import machine
from ansible_collections.immutable.compose.plugins.module_utils.platforms.local.processes import ProcessPlatform
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from ..model.samples import document

#: Prints what it boots, and stops in good order when told so; or after a minute, should a test leave it behind.
SCRIPT = 'trap "echo stopped; exit 0" TERM; echo "boots $1"; for n in $(seq 1200); do sleep 0.05; done'


class Scripts(ProcessPlatform):
    name = "scripts"
    formats = ("root",)
    options: t.ClassVar = {"memory": Option(int, 512, "Of no use here.")}
    programs = ("sh",)
    stop_deadline = volatile_stop_deadline = 5
    start_deadline = 5

    def interfaces(self, node: Node) -> tuple[Interface, ...]:
        return ()

    def endpoint(self, node: Node) -> Endpoint:
        return Endpoint("127.0.0.1")

    def stage(self, targets: t.Sequence[Target]) -> bool:
        return False

    def command(self, name: str, record: Boot) -> list[str]:
        os.makedirs(self.node_state(name).volumes, exist_ok=True)
        script = "echo no root file system >&2; exit 7" if "broken" in record.image.identity else SCRIPT
        return [
            "sh",
            "-c",
            script,
            "sh",
            record.image.identity,
            f"--uuid={self.marker(name)}",
            f"--in={self.state}/nodes/",
        ]

    def is_up(self, name: str, pid: int) -> bool:
        return "boots" in machine.tail(self.node_state(name).console, 5)

    def shut_down(self, name: str, handle: int, seconds: int) -> bool:
        machine.send(handle, machine.signal.SIGTERM)
        return machine.wait(handle, seconds)


class Lab:
    """Deployments of two nodes in one state directory."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.told: list[str] = []

    def deployment(self, *names: str, **options: t.Any) -> Deployment:
        nodes = tuple(
            Node(name, "node", index, f"10.87.0.{index}", options=options)
            for index, name in enumerate(names or ("node1", "node2"), 1)
        )
        return Deployment("lab", "/composition", "debian", "scripts", nodes, state=str(self.state))

    def platform(self, *names: str, **options: t.Any) -> Scripts:
        return Scripts(self.deployment(*names, **options), Progress(str(self.state.parent / "progress")))

    def image(self, identity: str, **volumes: Volume) -> Image:
        return Image(
            "node",
            "debian",
            identity,
            ARCHITECTURES[os.uname().machine],
            {"root": ImageFile("root", 1, "")},
            "/",
            volumes=volumes,
        )

    def target(self, node: Node, identity: str, digest: str = "d1") -> Target:
        return Target(node, self.image(identity), document(node, parameters={"digest": digest}), digest)

    def tell(self, name: str, outcome: NodeResult) -> None:
        self.told.append(name)

    def switch(self, platform: Scripts, identity: str, digest: str = "d1") -> dict[str, NodeResult]:
        return platform.switch([self.target(node, identity, digest) for node in platform.deployment.nodes], self.tell)


@pytest.fixture
def lab(tmp_path: Path) -> t.Iterator[Lab]:
    lab = Lab(tmp_path / "state")
    yield lab
    platform = lab.platform()
    platform.remove([*platform.observe(platform.deployment.nodes)], data=True, tell=lab.tell)
