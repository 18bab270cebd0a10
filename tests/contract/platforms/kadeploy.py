# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines of a simulated Kadeploy, over its socket; each runs what its disk has as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import threading
import typing as t
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.nodes.connection import SSHError
from ansible_collections.immutable.compose.plugins.module_utils.nodes.output import Output
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy import grid5000, machines, rest
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.platform import Kadeploy

from ..ground import BROKEN, Boot, Ground

sys.path.insert(0, str(Path(__file__).parents[2] / "simulators"))

from g5k_api.main import start as serve_api
from g5k_api.options import Options as ApiOptions
from kadeploy.machines import Load, Machine
from kadeploy.main import start as serve
from kadeploy.options import ClusterOptions, Options

SIMULATORS = Path(__file__).parents[2] / "simulators"
DISK = "./disk"


class Real(Machine):
    """What its disk has, it runs as a process."""

    pretends = False
    disk = ""
    #: Deployment and node, as the document on the disk says.
    node = ""
    process: subprocess.Popen[bytes] | None = None

    def work(self, step: str, load: Load) -> str:
        failed = super().work(step, load)
        if step == "send_environment" and load.image is not None:
            with tarfile.open(load.image) as archive:
                self.disk = _read(archive, DISK)
            self.node = ""
        if step == "manage_user_post_install" and not failed:
            with tarfile.open(load.postinstalls[-1][0]) as archive:
                document = json.loads(_read(archive, f"compose-nodes/{self.name}.json"))
            self.node = f"{document['deployment']}/{document['name']}"
        return failed

    def power_up(self) -> None:
        if self.running == "user" and self.disk != BROKEN:
            self.process = subprocess.Popen(["sleep", "1000000"])

    def halt(self) -> None:
        super().halt()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.process = None

    def answers(self, system: t.Any, waited: float) -> bool:
        return (system != "user" or self.process is not None) and super().answers(system, waited)


def _read(archive: tarfile.TarFile, name: str) -> str:
    return t.cast("t.IO[bytes]", archive.extractfile(name)).read().decode()


class Asked:
    """In place of the platform's own connection to a node."""

    def __init__(self, boot: Boot | None, end: t.Callable[[], None]) -> None:
        self.boot = boot
        self._end = end

    def open(self, timeout: float) -> None:
        if self.boot is None:
            raise SSHError("no answer")

    def run(self, command: str, timeout: float) -> Output:
        if command == "systemctl poweroff":
            self._end()
        return Output(0, f"identity {t.cast(Boot, self.boot).identity}\n".encode(), b"")

    def close(self) -> None:
        pass


class Site(Ground):
    """With eight machines."""

    has_console = False
    keeps_data = False

    def __init__(self, directory: Path, images: Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__(directory, images, patch)
        patch.setattr(rest, "FIRST", 0.02)
        patch.setattr(Kadeploy, "_connection", lambda at, node: self._asked(at.deployment, node.name))
        patch.setattr(machines, "_resolve", lambda machine: "")
        self._served = directory / "served"
        self._served.mkdir()
        cluster = ClusterOptions(["sim-[1-8]"], "classical")
        options = Options(clusters={"sim": cluster}, pace=0.004)
        patch.setattr("kadeploy.main.Machine", Real)
        self._server, self._kadeploy = serve(directory / "site", options=options)

    def _asked(self, deployment: Deployment, node: str) -> Asked:
        return Asked(self.boot(deployment, node), lambda: self._shut_down(deployment, node))

    def _shut_down(self, deployment: Deployment, node: str) -> None:
        """As the node itself does it; also in a run that is another process."""
        for machine in self._machines(deployment, node):
            rest.Rest(self._server.url, "alice").switch_off([machine.name], 30)
            machine.process = None

    def break_down(self, machine: str) -> None:
        """It does not even switch itself on any more."""
        (self.directory / "site/faults.json").write_text(json.dumps([{"kind": "bmc_silent", "machine": machine}]))

    def close(self) -> None:
        self._server.shutdown()
        self._kadeploy.stop()
        for machine in self._kadeploy.machines.values():
            machine.halt()

    def options(self, number: int) -> dict[str, t.Any]:
        first = 4 * number - 3
        where = {"url": self._server.url, "directory": str(self._served)}
        return {**where, "machines": [f"sim-[{first}-{first + 3}]"]}

    @property
    def credentials(self) -> dict[str, str]:
        return {"user": "alice"}

    def spoil(self, deployment: Deployment, node: Node) -> tuple[Node, str]:
        return replace(node, options={**node.options, "machine": "nowhere"}), "has no machine 'nowhere'"

    def make(self, identity: str, directory: Path) -> None:
        files = {DISK: identity, "./boot/vmlinuz": "", "./boot/initrd.img": ""}
        tree = directory.with_name(f"{directory.name}.tree")
        with tarfile.open(directory / "installed", "w:gz") as archive:
            for name, text in files.items():
                path = tree / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
                archive.add(path, name)

    def _machines(self, deployment: Deployment, node: str = "") -> list[Real]:
        """Those that run nodes of a deployment."""
        found = [t.cast(Real, machine) for machine in self._kadeploy.machines.values()]
        return [each for each in found if each.process and each.node.startswith(f"{deployment.name}/{node}")]

    def boot(self, deployment: Deployment, node: str) -> Boot | None:
        found = self._machines(deployment, node)
        assert len(found) < 2, found
        process = found[0].process if found else None
        return Boot(found[0].disk, str(process.pid)) if process else None

    def end(self, deployment: Deployment, node: str) -> None:
        for machine in self._machines(deployment, node):
            machine.power(False)

    def left(self, deployment: Deployment) -> list[str]:
        nodes = [str(path) for path in (Path(deployment.state) / "nodes").glob("*")]
        served = [str(path) for path in self._served.glob(f"{deployment.name}-*/*")]
        return [*nodes, *served, *(machine.node for machine in self._machines(deployment))]


class Frontend(Site):
    """Asked by Kadeploy's commands."""

    def __init__(self, directory: Path, images: Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__(directory, images, patch)
        (directory / "home").mkdir()
        path = f"{SIMULATORS / 'kadeploy/bin'}:{os.environ['PATH']}"
        settings = {"PATH": path, "USER": "alice", "HOME": directory / "home"}
        for name, value in {**settings, "KADEPLOY3_CONFIG_DIR": directory / "site"}.items():
            patch.setenv(name, str(value))

    def options(self, number: int) -> dict[str, t.Any]:
        given = {key: value for key, value in super().options(number).items() if key != "url"}
        return {**given, "backend": "command"}

    def left(self, deployment: Deployment) -> list[str]:
        kept = self.directory / "home/.local/state/immutable.compose/kadeploy"
        return [*super().left(deployment), *(str(path) for path in kept.glob(f"compose-{deployment.name}-*"))]


class Grid5000(Site):
    """Asked by the API of Grid'5000, which fetches descriptions."""

    sees_ends = False

    def __init__(self, directory: Path, images: Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__(directory, images, patch)
        patch.setattr(grid5000, "PITCH", 0.05)
        handler = type("Handler", (SimpleHTTPRequestHandler,), {"log_message": lambda *_words: None})
        self._web = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(self._served)))
        threading.Thread(target=self._web.serve_forever, daemon=True).start()
        self._api_server, self._api = serve_api(directory / "api", self._server.url, 0, ApiOptions(pace=0.004))

    def close(self) -> None:
        self._api_server.shutdown()
        self._api.jobs.stop()
        self._web.shutdown()
        super().close()

    def options(self, number: int) -> dict[str, t.Any]:
        where = {"backend": "grid5000", "site": "grenoble", "url": f"{self._api_server.url}/stable"}
        web = f"http://127.0.0.1:{self._web.server_address[1]}"
        return {**super().options(number), **where, "directory_url": web}

    @property
    def credentials(self) -> dict[str, str]:
        return {"user": "alice", "password": "alice"}


GROUND = Site
WAYS = {"command": Frontend, "grid5000": Grid5000}
