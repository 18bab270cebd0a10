"""A simulated Proxmox VE cluster, and what speaks to it."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

SIMULATORS = Path(__file__).resolve().parents[2] / "simulators"
sys.path.insert(0, str(SIMULATORS))

from proxmox.main import start  # noqa: E402
from proxmox.options import Options  # noqa: E402
from proxmox.server import Server  # noqa: E402

Json = dict[str, t.Any]
#: Seconds that are never over, unless something does not happen at all: computers under load are slow.
PATIENCE = 120


def eventually(condition: t.Callable[[], t.Any]) -> t.Any:
    """What a condition answers when it has become true."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return found


@dataclass
class Answer:
    """What the server said."""

    status: int
    reason: str
    body: Json

    @property
    def data(self) -> t.Any:
        """The data of an answer that is good."""
        assert self.status == 200, (self.status, self.reason, self.body)
        return self.body["data"]

    @property
    def error(self) -> tuple[int, str]:
        """Status and text of an error; what is wrong with parameters."""
        errors = self.body.get("errors")
        return self.status, "; ".join(f"{k}: {v}" for k, v in errors.items()) if errors else self.reason


class Client:
    """A token that calls the API."""

    def __init__(self, server: Server, token: str | None = None) -> None:
        self.server = server
        self.cluster = server.cluster
        self.session = requests.Session()
        self.session.verify = str(server.cluster.state / "pve-root-ca.pem")
        self.session.trust_env = False
        self.token = token or server.cluster.access.root_token.removeprefix("token:")
        self.session.headers["Authorization"] = f"PVEAPIToken={self.token}"

    def call(self, verb: str, path: str, /, files: t.Any = None, **parameters: t.Any) -> Answer:
        """One call; ``__`` in names of parameters is ``-``."""
        data = {key.replace("__", "-"): value for key, value in parameters.items()}
        where = "params" if verb in ("GET", "DELETE") else "data"
        url = f"{self.server.url}/api2/json{path}"
        answer = self.session.request(verb, url, files=files, timeout=PATIENCE, **{where: data})
        return Answer(answer.status_code, answer.reason, answer.json() if answer.text.startswith("{") else {})

    def do(self, verb: str, path: str, /, **parameters: t.Any) -> t.Any:
        """The data of a call that must be good."""
        return self.call(verb, path, **parameters).data

    def get(self, path: str, /, **parameters: t.Any) -> t.Any:
        """The data of a GET."""
        return self.call("GET", path, **parameters).data

    def task(self, verb: str, path: str, /, **parameters: t.Any) -> str:
        """The exit status of the task that a call starts."""
        upid = self.call(verb, path, **parameters).data
        return self.wait(upid)

    def wait(self, upid: str) -> str:
        """The exit status of a task."""
        path = f"/nodes/{upid.split(':')[1]}/tasks/{upid}/status"
        return str(eventually(lambda: (status := self.get(path))["status"] == "stopped" and status)["exitstatus"])

    def config(self, vmid: int = 100, **parameters: t.Any) -> Json:
        """The configuration of a VM of the first node."""
        found: Json = self.get(f"/nodes/pve1/qemu/{vmid}/config", **parameters)
        return found

    def upload(self, image: bytes, name: str = "sys.qcow2", storage: str = "local") -> str:
        """Uploads an image for import."""
        digest = hashlib.sha256(image).hexdigest()
        fields = {"content": "import", "checksum-algorithm": "sha256", "checksum": digest}
        url = f"/nodes/pve1/storage/{storage}/upload"
        return self.wait(self.call("POST", url, files={"filename": (name, io.BytesIO(image))}, **fields).data)


Simulate = t.Callable[..., Client]
CONTENT = "images,rootdir,vztmpl,iso,backup,snippets,import"


@pytest.fixture
def simulate(tmp_path: Path) -> t.Iterator[Simulate]:
    """Starts clusters with options; a simulated second takes 20 ms."""
    servers: list[Server] = []

    def begin(**options: t.Any) -> Client:
        chosen = {"pace": 0.02, "resources_seconds": 0, **options}
        if "storages" not in chosen:
            chosen["storages"] = {"local": {"type": "dir", "path": "/var/lib/vz", "content": CONTENT}}
        servers.append(start(tmp_path / f"state{len(servers)}", 0, Options(**chosen)))
        return Client(servers[-1])

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()
        for vmid in server.cluster.files.find():
            server.cluster.guests.forget(vmid)


@pytest.fixture
def pve(simulate: Simulate) -> Client:
    """One node with a directory."""
    return simulate()


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small qcow2 image."""
    path = tmp_path_factory.mktemp("image") / "image.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "8M"], check=True)
    return path.read_bytes()


@pytest.fixture
def vm(pve: Client, image: bytes) -> Client:
    """VM 100: a system disk that was imported on scsi0, a data disk on scsi1."""
    create_vm(pve, image)
    return pve


def create_vm(pve: Client, image: bytes, vmid: int = 100, storage: str = "local", **more: t.Any) -> None:
    """Makes VM 100 (or another one)."""
    assert pve.upload(image) == "OK"
    data = f"{storage}:1,serial=data" + (",format=qcow2" if storage == "local" else "")
    disks = {"scsi0": f"{storage}:0,import-from=local:import/sys.qcow2,serial=old", "scsi1": data}
    options = {"name": f"vm{vmid}", "memory": 64, "kvm": 0, "boot": "order=scsi0", **disks, **more}
    assert pve.task("POST", "/nodes/pve1/qemu", vmid=vmid, **options) == "OK"


def volumes(config: Json) -> dict[str, str]:
    """Key of a drive → its volume."""
    keys = [key for key in config if key.rstrip("0123456789") in ("scsi", "sata", "virtio", "ide", "unused")]
    return {key: config[key].partition(",")[0] for key in sorted(keys)}


def write_guest(pve: Client, vmid: int, **guest: t.Any) -> None:
    """Says what runs in a VM."""
    (pve.cluster.state / "guests" / f"{vmid}.json").write_text(json.dumps(guest))
