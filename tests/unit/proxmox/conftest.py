"""Deployments on a simulated Proxmox VE cluster; its guests are not booted."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Seen, Target
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Volume
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image, ImageFile
from ansible_collections.immutable.compose.plugins.module_utils.model.result import NodeResult
from ansible_collections.immutable.compose.plugins.module_utils.platforms.problems import refuse
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox import client, tasks, vm
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.platform import Proxmox
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from ..model.samples import document as told

SIMULATORS = Path(__file__).resolve().parents[2] / "simulators"
sys.path.insert(0, str(SIMULATORS))

from proxmox.main import start  # noqa: E402
from proxmox.options import Options  # noqa: E402
from proxmox.server import Server  # noqa: E402

if t.TYPE_CHECKING:
    from .disturbance import Lab

Json = dict[str, t.Any]
CONTENT = "images,iso,snippets,import"
#: One directory on every node, and a pool that all of them see.
STORAGES = {
    "local": {"type": "dir", "path": "/var/lib/vz", "content": CONTENT},
    "ceph": {"type": "rbd", "shared": 1, "pool": "vms", "content": "images"},
}


@dataclass
class World:
    """A cluster, and the deployments on it."""

    server: Server
    directory: Path
    images: Path
    told: list[str] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.server.cluster.state

    def deployment(self, *names: str, name: str = "lab", **options: t.Any) -> Deployment:
        nodes = tuple(
            Node(each, "web", index, f"10.87.0.{index}", options={"storage": "local", "staging": "import", **options})
            for index, each in enumerate(names or ("web1", "web2"), 1)
        )
        cluster = self.server.cluster
        user, dummy, secret = cluster.access.root_token.removeprefix("token:").rpartition("=")
        credentials = {
            "host": f"127.0.0.1:{self.server.server_address[1]}",
            "token_id": user,
            "token_secret": secret,
            "ca_file": str(self.state / "pve-root-ca.pem"),
        }
        return Deployment(
            name, "/composition", "debian", "proxmox", nodes, state=str(self.directory), credentials=credentials
        )

    def platform(self, *names: str, **options: t.Any) -> Proxmox:
        return Proxmox(self.deployment(*names, **options), Progress(str(self.directory / "progress")))

    def image(self, identity: str, size: int = 8, **volumes: Volume) -> Image:
        """A bundle with an image of that identity; an image of that size (MiB) is made once."""
        bundle = self.images / identity
        if not bundle.exists():
            bundle.mkdir()
            command = ["qemu-img", "create", "-q", "-f", "qcow2", str(bundle / "disk.qcow2"), f"{size}M"]
            subprocess.run(command, check=True)
        file = ImageFile("disk.qcow2", (bundle / "disk.qcow2").stat().st_size, "")
        return Image("web", "debian", identity, "amd64", {"qcow2": file}, str(bundle), volumes=volumes)

    def targets(self, platform: Proxmox, identity: str, document: str = "d1", **volumes: Volume) -> list[Target]:
        image = self.image(identity, **volumes)
        return [
            Target(node, image, told(node, parameters={"what": document}), document)
            for node in platform.deployment.nodes
        ]

    def tell(self, name: str, outcome: NodeResult) -> None:
        self.told.append(name)

    def deploy(
        self, platform: Proxmox, identity: str, document: str = "d1", **volumes: Volume
    ) -> dict[str, NodeResult]:
        """Stage and switch; every node must be well."""
        targets = self.targets(platform, identity, document, **volumes)
        refuse(platform.check(platform.deployment.nodes))
        platform.stage(targets)
        outcomes = platform.switch(targets, self.tell)
        assert all(outcome.ok for outcome in outcomes.values()), outcomes
        return outcomes

    def finish(self, platform: Proxmox, *keep: str, release: int = 1) -> None:
        """Commit and prune."""
        platform.commit(platform.deployment.nodes, release)
        platform.prune(keep)

    def observed(self, platform: Proxmox) -> dict[str, Seen]:
        return platform.observe(platform.deployment.nodes)

    # -- what the cluster has, past the platform -----------------------------------------------------------------

    def vmid(self, name: str = "web1") -> int:
        tagged = [vmid for vmid in self.vmids() if f".{name}" in str(self.config(vmid).get("tags"))]
        assert len(tagged) == 1, tagged
        return tagged[0]

    def vmids(self) -> list[int]:
        return sorted(self.server.cluster.files.find())

    def config(self, vmid: int) -> Json:
        """The configuration with changes that wait."""
        cluster = self.server.cluster
        found: Json = cluster.files.load(cluster.files.find()[vmid], vmid).current(pending=True)
        return found

    def running(self, vmid: int) -> bool:
        return bool(self.server.cluster.guests.running(vmid))

    def call(self, verb: str, path: str, /, **data: t.Any) -> t.Any:
        """A call as somebody else would make it."""
        session = requests.Session()
        session.trust_env = False
        session.verify = str(self.state / "pve-root-ca.pem")
        token = self.server.cluster.access.root_token.removeprefix("token:")
        session.headers["Authorization"] = f"PVEAPIToken={token}"
        where = "params" if verb in ("GET", "DELETE") else "data"
        answer = session.request(verb, f"{self.server.url}/api2/json{path}", timeout=30, **{where: data})
        assert answer.status_code == 200, answer.reason
        return answer.json()["data"]

    def settle(self) -> None:
        """Wait until no task runs any more."""
        deadline = time.monotonic() + 30
        while self.call("GET", "/nodes/pve1/tasks", source="active"):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def faults(self, *faults: Json) -> None:
        """From now on these faults happen, and no others."""
        self.server.cluster.faults.set(list(faults))

    def volumes(self) -> set[str]:
        """All volumes of VMs that exist, on any storage."""
        cluster, found = self.server.cluster, set()
        for node in cluster.options.nodes:
            for storage in cluster.volumes.all():
                path = f"/nodes/{node}/storage/{storage}/content"
                found |= {one["volid"] for one in self.call("GET", path) if ":import/" not in one["volid"]}
        return found

    def uploads(self) -> set[str]:
        """All files for import."""
        found = set()
        for node in self.server.cluster.options.nodes:
            path = f"/nodes/{node}/storage/local/content"
            found |= {one["volid"] for one in self.call("GET", path, content="import")}
        return found

    def named(self) -> set[str]:
        """All volumes that configurations name."""
        found = set()
        for vmid in self.vmids():
            for key, value in self.config(vmid).items():
                if key.rstrip("0123456789") in ("scsi", "sata", "virtio", "ide", "unused"):
                    found.add(str(value).partition(",")[0])
        return found

    def calls(self) -> list[str]:
        """Calls until now, ``GET /path``."""
        lines = (self.state / "access.log").read_text().splitlines()
        return [" ".join(json.loads(f'"{line.split(chr(34))[1]}"').split()[:2]) for line in lines if '"' in line]


@pytest.fixture
def cluster_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[t.Callable[..., World]]:
    """Makes clusters; a simulated second takes 20 ms, and what polls does so more often."""
    servers: list[Server] = []
    monkeypatch.setattr(vm, "_POLL", 0.02)
    monkeypatch.setattr(tasks, "_SHORTEST", 0.005)
    monkeypatch.setattr(client, "_PAUSE", 0.005)

    def make(**options: t.Any) -> World:
        chosen = {"pace": 0.02, "resources_seconds": 0, "storages": STORAGES, "guest": {"shutdown": 1}, **options}
        directory = tmp_path / f"cluster{len(servers)}"
        servers.append(start(directory / "state", 0, Options(**chosen)))
        images = tmp_path / "images"
        images.mkdir(exist_ok=True)
        return World(servers[-1], directory, images)

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()
        for vmid in server.cluster.files.find():
            server.cluster.guests.forget(vmid)


@pytest.fixture
def world(cluster_of: t.Callable[..., World]) -> World:
    """One node with a directory, and a pool."""
    return cluster_of()


@pytest.fixture
def lab_of(cluster_of: t.Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., Lab]:
    """Makes deployments that are to be disturbed; calls go past the network."""
    from .disturbance import Lab
    from .wire import QuickImages, Wire, images

    monkeypatch.setattr(images, "qemu_img", QuickImages())

    def make(staging: str, *names: str, nodes: t.Sequence[str] = ("pve1",), **options: t.Any) -> Lab:
        world = cluster_of(nodes=list(nodes))
        wire = Wire(world.server.cluster, "root@pam!sim")
        options.pop("prepare", lambda wire: None)(wire)
        monkeypatch.setattr(client.Client, "_once", lambda dummy, verb, path, params: wire.call(verb, path, params))
        options.setdefault("storage", "ceph" if staging == "clone" else "local")
        return Lab(world, wire, *names, staging=staging, **options)

    return make
