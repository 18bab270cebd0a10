# SPDX-License-Identifier: GPL-3.0-or-later
"""Two machines of another deployment: namespaces of this host, in which the scripts of the platform really run.

Containers and networks are real; systemd is what ``folded_programs.sh`` has of it.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import typing as t
from contextlib import suppress
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe.held import AddressBook, Held
from ansible_collections.immutable.compose.plugins.module_utils.model import codec
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Fold
from ansible_collections.immutable.compose.plugins.module_utils.nodes.output import Output
from ansible_collections.immutable.compose.plugins.module_utils.platforms.folded import machines, platform
from ansible_collections.immutable.compose.plugins.module_utils.platforms.local.machine import children

from ..ground import Boot, commands, inside, wait_until
from . import nspawn

PROGRAMS = Path(__file__).with_name("folded_programs.sh")
NAMES = ("machine1", "machine2")
#: A machine: has a /run of its own, in which systemd says that it runs.
UP = "mount -t tmpfs run /run; mkdir -p /run/systemd/system /run/netns; echo up; exec sleep infinity"


class Machine:
    """In place of a connection to a machine."""

    def __init__(self, directory: Path) -> None:
        self._bin = directory
        for program in ("systemd-run", "systemctl", "journalctl"):
            (directory / program).symlink_to(PROGRAMS)
        self._up = subprocess.Popen(["unshare", "--mount", "--net", "sh", "-c", UP], stdout=subprocess.PIPE)
        assert self._up.stdout is not None and self._up.stdout.readline() == b"up\n"

    def open(self, timeout: float) -> None:
        """It answers."""

    def close(self) -> None:
        """Nothing is open."""

    def feed(self, command: str, data: bytes | t.Iterable[bytes], timeout: float) -> Output:
        environment = {"PATH": f"{self._bin}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["nsenter", f"--target={self._up.pid}", "--mount", "--net", "sh", "-c", command],
            env=environment,
            input=data if isinstance(data, bytes) else b"".join(data),
            capture_output=True,
            check=False,
            timeout=timeout,
        )
        return Output(done.returncode, done.stdout, done.stderr)

    def has(self, own: str) -> list[str]:
        script = f"ls -d /run/immutable.compose/{own} /run/netns/{own} /run/units/{own}-* 2>/dev/null"
        return self.feed(script, b"", 20).stdout.decode().splitlines()

    def end(self) -> None:
        for pid in map(int, self.feed("cat /run/units/*.pid", b"", 20).stdout.split()):
            for each in (*children(pid), pid):
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
        self._up.kill()
        self._up.wait()


class Cluster(nspawn.Containers):
    """What nodes are folded onto."""

    keeps_data = False

    def __init__(self, directory: Path, images: Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__(directory, images, patch)
        cluster = directory / "cluster"
        book = {name: Held(f"10.9.0.{at}", f"10.9.0.{at}") for at, name in enumerate(NAMES, 1)}
        codec.write(str(cluster / "addresses.json"), AddressBook(book))
        hosts = "".join(f"Host {name}\n  HostName {held.address}\n  Port 22\n" for name, held in book.items())
        (cluster / "ssh_config").write_text(f"{hosts}Host *\n")
        self._machines = {}
        for name in NAMES:
            (directory / name).mkdir()
            self._machines[name] = Machine(directory / name)
        patch.setattr(machines, "connect", lambda name, endpoint, keys: self._machines[name])
        patch.setattr(platform, "LOOK", 0.1)
        self.fold = Fold("cluster", str(cluster), dict.fromkeys(NAMES, ""))

    def close(self) -> None:
        for machine in self._machines.values():
            machine.end()

    def _own(self, deployment: Deployment) -> str:
        digest = hashlib.sha256(os.path.realpath(deployment.state).encode()).hexdigest()[:6]
        return f"compose-{deployment.name}-{digest}"

    def _containers(self, own: str) -> dict[str, int]:
        """Node → process id of what supervises its container."""
        found = {}
        for pid, command in commands().items():
            ours = any(word.startswith(f"--directory=/run/immutable.compose/{own}/") for word in command)
            if ours and os.path.basename(command[0]) == "systemd-nspawn":
                found.update({word.partition("=")[2]: pid for word in command if word.startswith("--machine=")})
        return found

    def boot(self, deployment: Deployment, node: str) -> Boot | None:
        inits = children(self._containers(self._own(deployment)).get(node, -1))
        return inside(inits[0]) if inits else None

    def end(self, deployment: Deployment, node: str) -> None:
        (init,) = children(self._containers(self._own(deployment))[node])
        os.kill(init, signal.SIGKILL)
        wait_until(lambda: node not in self._containers(self._own(deployment)))

    def left(self, deployment: Deployment) -> list[str]:
        own, state = self._own(deployment), Path(deployment.state)
        there = [f"{name}: {what}" for name, machine in self._machines.items() for what in machine.has(own)]
        written = [str(path) for path in (*state.glob("nodes/*"), *state.glob("seats.json"))]
        guests = [str(path) for path in self.directory.glob("cluster/guests/*") if path.name == deployment.name]
        return [*self._containers(own), *there, *written, *guests]


GROUND = Cluster
