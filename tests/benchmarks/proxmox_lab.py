"""A simulated Proxmox VE cluster whose VMs are not booted, playbooks against it, and what they did to it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import typing as t
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from noop import BIN, ROOT, collection_with

SERVE = ROOT / "tests" / "simulators" / "proxmox" / "serve"
HERE = Path(__file__).parent / "proxmox"
#: A directory on every node for uploads, and a pool that all of them see for disks.
STORAGES = {
    "local": {"type": "dir", "path": "/var/lib/vz", "content": "iso,import"},
    "ceph": {"type": "rbd", "shared": 1, "pool": "vms", "content": "images"},
}
#: Size of a system image; it has 4 MiB of content.
IMAGE_GIB = 2
CALL = re.compile(r'\S+ "(?P<verb>\S+) /api2/json(?P<path>[^ ?]*)\S* HTTP/1\.1" (?P<status>\S+) \S+ \S+(?P<vms>.*)')
TASK = re.compile(r"(?P<begin>\S+) (?P<end>\S+) UPID(?::[^:]+){4}:(?P<type>[^:]+):(?P<vm>[^:]*):\S* (?P<status>.*)")


@dataclass
class Run:
    """What a playbook did."""

    output: str
    #: Begin and end, seconds since the epoch.
    begin: float
    end: float
    #: ``GET /version``, with VMs as their numbers.
    calls: list[str]
    #: VM → seconds from the begin of its stop to the end of its start.
    downtimes: dict[int, float]
    tasks: list[tuple[str, float]]

    @property
    def seconds(self) -> float:
        return self.end - self.begin

    @property
    def changed(self) -> int:
        """Results that were ``changed``, of all tasks and hosts."""
        return sum(int(count) for count in re.findall(r"changed=(\d+)", self.output))

    @property
    def polls(self) -> int:
        """Calls that only ask how a task is doing."""
        return sum("/tasks/" in call for call in self.calls)


class Lab:
    """A cluster, kept in a directory; ``with`` it runs.

    :param options: of the simulator; see its README.md.
    """

    def __init__(self, directory: Path, **options: t.Any) -> None:
        self.directory, self.state = directory, directory / "cluster"
        self.state.mkdir(parents=True)
        self.set(storages=STORAGES, **options)
        collection_with(
            directory,
            ("platforms", HERE / "unbooted.py", "ProxmoxUnbooted"),
            ("builders", HERE / "files.py", "Files"),
        )
        self.url = self.token = ""

    def set(self, **options: t.Any) -> None:
        """Other options, from the next start on."""
        path = self.state / "options.json"
        path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **options}))

    def __enter__(self) -> t.Self:
        command = [sys.executable, str(SERVE), "--state", str(self.state)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        _ready, self.url, self.token = self._process.stdout.readline().split()
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()

    def image(self, name: str, directory: Path) -> Path:
        """A system image; of every name another one."""
        path = directory / f"{name}.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), f"{IMAGE_GIB}G"], check=True)
        write = f"write -P {sum(name.encode()) % 255 + 1} 0 4M"
        subprocess.run(["qemu-io", "-c", write, str(path)], check=True, stdout=subprocess.DEVNULL)
        return path

    def environment(self) -> dict[str, str]:
        """In which playbooks find the cluster."""
        token, _equals, secret = self.token.removeprefix("token:").partition("=")
        return {
            **os.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "ANSIBLE_COLLECTIONS_PATH": str(self.directory),
            "PROXMOX_HOST": self.url.removeprefix("https://"),
            "PROXMOX_TOKEN_ID": token,
            "PROXMOX_TOKEN_SECRET": secret,
            "PROXMOX_CA_FILE": str(self.state / "pve-root-ca.pem"),
            "SIMULATOR": str(self.state),
        }

    def start(self, *args: str, **environment: str) -> subprocess.Popen[str]:
        """One ``ansible-playbook``."""
        return subprocess.Popen(
            [str(BIN / "ansible-playbook"), *args],
            cwd=self.directory,
            env={**self.environment(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def play(self, *args: str, expect: int = 0, **environment: str) -> Run:
        """One ``ansible-playbook``, to its end, with this exit code."""
        calls, tasks = len(self._lines("access.log")), len(self._lines("tasks/times"))
        begin = time.time()
        process = self.start(*args, **environment)
        output, _none = process.communicate()
        end = time.time()
        if process.returncode != expect:
            raise SystemExit(f"exit code {process.returncode}\n{output.partition('PLAY RECAP')[0][-6000:]}")
        ended = [match for line in self._lines("tasks/times")[tasks:] if (match := TASK.fullmatch(line))]
        return Run(
            output,
            begin,
            end,
            [
                f"{match['verb']} {match['path']}"
                for line in self._lines("access.log")[calls:]
                if (match := CALL.match(line))
            ],
            _downtimes(ended),
            [(match["type"], float(match["end"]) - float(match["begin"])) for match in ended],
        )

    def _lines(self, name: str) -> list[str]:
        path = self.state / name
        return path.read_text().splitlines() if path.exists() else []

    def disks(self) -> set[str]:
        """Names of all disks of VMs, whether anything uses them or not."""
        return {path.name for path in (self.state / "volumes").glob("*/*/blocks/*")}

    def uploads(self) -> set[str]:
        """Names of all images that wait to be imported."""
        return {path.name for path in (self.state / "volumes").glob("*/*/import/*")}

    def drives(self, *, unused: bool) -> set[str]:
        """Names of the disks that VMs have in drives, or keep without one."""
        key = r"unused\d+" if unused else r"(?:scsi|sata|virtio|ide)\d+"
        found = re.findall(rf"^{key}: ([^,\n]*)", "\n".join(self._configurations()), re.MULTILINE)
        return {volume.rpartition("/")[2].rpartition(":")[2] for volume in found}

    def recorded(self) -> set[str]:
        """Names of the disks that the records in descriptions name: they are removed when nobody goes back to them."""
        lines = re.findall(r"^#.*immutable\.compose.*$", "\n".join(self._configurations()), re.MULTILINE)
        records = unquote(" ".join(lines))
        return {disk for disk in self.disks() if re.search(rf"\b{re.escape(disk)}\b", records)}

    def _configurations(self) -> list[str]:
        return [path.read_text() for path in (self.state / "etc" / "nodes").glob("*/qemu-server/*.conf")]


def _downtimes(tasks: t.Iterable[re.Match[str]]) -> dict[int, float]:
    """VM → seconds that it was down for a stop and a start."""
    stops: dict[int, float] = {}
    down: dict[int, float] = defaultdict(float)
    for task in sorted(tasks, key=lambda task: float(task["begin"])):
        if task["status"] != "OK":
            continue
        if task["type"] in ("qmstop", "qmshutdown"):
            stops.setdefault(int(task["vm"]), float(task["begin"]))
        elif task["type"] == "qmstart" and int(task["vm"]) in stops:
            down[int(task["vm"])] += float(task["end"]) - stops.pop(int(task["vm"]))
    return dict(down)
