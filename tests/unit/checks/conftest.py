"""A real SSH server on loopback, with a host key and certificate made by the collection."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import types
import typing as t
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.checks import commands
from ansible_collections.immutable.compose.plugins.module_utils.checks.report import Report
from ansible_collections.immutable.compose.plugins.module_utils.checks.verify import Verification, verify
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.nodes import probe
from ansible_collections.immutable.compose.plugins.module_utils.nodes.connection import Connection
from ansible_collections.immutable.compose.plugins.module_utils.nodes.endpoint import Endpoint
from ansible_collections.immutable.compose.plugins.module_utils.nodes.keys import Keys
from ansible_collections.immutable.compose.plugins.module_utils.platforms.base import Lost
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

SSHD = "/usr/sbin/sshd"
NODE = "oar-server"


class Server:
    """One ``sshd`` process that stands for a node; programs in ``bin`` come first in its ``PATH``."""

    def __init__(self, directory: Path, *, host_key_of: str = NODE, port: int | None = None, tied: bool = True) -> None:
        """:param tied: it ends with the thread that started it."""
        self.directory = directory
        self.bin = directory / "bin"
        self.bin.mkdir(exist_ok=True)
        self.keys = Keys(str(directory / "state"))
        self.keys.host_key(host_key_of)
        (directory / "authorized_keys").write_text(self.keys.login_public_key() + "\n")
        self.port = port or _free_port()
        host_key = directory / "state" / "hostkeys" / host_key_of
        (directory / "sshd_config").write_text(
            f"""
            ListenAddress 127.0.0.1:{self.port}
            HostKey {host_key}
            HostCertificate {host_key}-cert.pub
            AuthorizedKeysFile {directory}/authorized_keys
            AuthenticationMethods publickey
            PermitRootLogin prohibit-password
            StrictModes no
            UsePAM no
            PidFile none
            SetEnv PATH={self.bin}:{os.environ["PATH"]}
            """
        )
        os.makedirs("/run/sshd", exist_ok=True)
        self.log = open(directory / "sshd.log", "ab")  # noqa: SIM115 - closed by stop()
        self.process = subprocess.Popen(
            # Test runners that fork end without tearing fixtures down: the server ends with whoever started it.
            [
                *(["setpriv", "--pdeathsig", "KILL"] if tied else []),
                SSHD,
                "-D",
                "-e",
                "-f",
                str(directory / "sshd_config"),
            ],
            stderr=self.log,
            start_new_session=True,
        )
        self.endpoint = Endpoint("127.0.0.1", self.port)
        self._wait()

    def _wait(self) -> None:
        for _dummy in range(3000):
            assert self.process.poll() is None, (self.directory / "sshd.log").read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("sshd does not answer")

    def connection(self, endpoint: Endpoint | None = None) -> Connection:
        return Connection(NODE, endpoint or self.endpoint, self.keys.host_key(NODE).public, self.keys.identity_file)

    def program(self, name: str, script: str) -> None:
        """Put a program on the node."""
        path = self.bin / name
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    def stop(self) -> None:
        """End the server and every session on it, as a crash of the node would."""
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=False
        ).stdout.split()
        self.process.kill()
        self.process.wait()
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(int(pid), 9)
        self.log.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("sshd"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def kept(server: Server) -> Iterator[Connection]:
    """One connection that many tests share: none of them may leave it unusable."""
    connection = server.connection()
    yield connection
    connection.close()


IDENTITY = "abc-demo-server-root"


def block(unit: str, active: str, sub: str, since: float, restarts: int | None = None, job: str = "") -> str:
    """What ``systemctl show`` tells of a unit. :param since: when it was started, by the monotonic clock."""
    first = "" if restarts is None else f"NRestarts={restarts}\n"
    return (
        f"{first}Id={unit}\nActiveState={active}\nSubState={sub}\nInactiveExitTimestampMonotonic={since * 1e6:.0f}\n"
        f"ActiveEnterTimestampMonotonic={since * 1e6:.0f}\nJob={job}\n"
    )


class Lab:
    """A deployment whose node ``oar-server`` is the SSH server; ``node1`` is played by the same server, an impostor."""

    def __init__(self, server: Server, directory: Path, patch: pytest.MonkeyPatch) -> None:
        self.server = server
        self.directory = directory
        self.identity = directory / "identity"
        self.identity.write_text(IDENTITY + "\n")
        patch.setattr(probe, "IDENTITY_FILE", str(self.identity))
        self.shell: t.Any = None
        #: Node → where it is in place of the server, or why nobody knows; and what the platform says of it.
        self.elsewhere: dict[str, Endpoint | Exception] = {}
        self.lost: dict[str, Lost] = {}
        self.progress = Progress(str(directory / "progress"))
        self.system("running")
        server.program("journalctl", f"echo journal of the node; echo {'$'}@")

    def system(self, *states: str, failed: str = "") -> None:
        """``systemctl is-system-running`` says these, one after the other; ``--wait`` takes until the last."""
        self.server.program(
            "systemctl",
            f"""
            echo "$*" >>{self.directory}/calls
            case "$*" in
              show*default.target*) n=$(cat {self.directory}/shown 2>/dev/null || echo 1)
                 echo $((n + 1)) >{self.directory}/shown
                 cat {self.directory}/units-$n 2>/dev/null || cat {self.directory}/units ;;
              *--wait*) sleep 0.3; echo {states[-1]}; [ {states[-1]} = running ] ;;
              is-system-running) n=$(cat {self.directory}/asked 2>/dev/null || echo 1)
                 echo $((n + 1)) >{self.directory}/asked
                 echo {" ".join(states)} | cut -d' ' -f$((n > {len(states)} ? {len(states)} : n)) ;;
              *state=failed*) printf '%s' '{failed}' ;;
              list-jobs*) echo '12 slow.service start running' ;;
              show*a.service*) echo Result=exit-code; echo ExecMainStatus=3 ;;
              show*) echo Result=timeout; echo ExecMainStatus=0 ;;
            esac""",
        )
        (self.directory / "asked").unlink(missing_ok=True)
        self.units(target="active" if states == ("running",) else "inactive")

    def units(self, *units: str, up: float = 60, file: str = "units", target: str = "active") -> None:
        """What ``systemctl show`` tells of all of them, as systemd 252 does; a second file is what it tells later.

        :param up: seconds; the computer must have been up for longer, whose clock is that of its nodes.
        """
        now = time.clock_gettime(time.CLOCK_MONOTONIC)
        parts = [block("default.target", target, "active", now - up), *units]
        (self.directory / file).write_text("\n".join(parts))

    def run(
        self,
        *,
        batch: t.Sequence[str] = (NODE,),
        nodes: t.Sequence[str] = (NODE,),
        script: str = "",
        ports: t.Sequence[int] = (),
        endpoint: Endpoint | None = None,
        boot_timeout: int = 120,
        verify_timeout: int = 300,
        **more: t.Any,
    ) -> Report:
        what = self.what(batch, nodes, boot_timeout, verify_timeout, endpoint)
        return verify(replace(what, ports=dict.fromkeys(batch, ports), test_script=script, **more), self.progress)

    def what(
        self,
        batch: t.Sequence[str] = (NODE,),
        nodes: t.Sequence[str] = (NODE,),
        boot_timeout: int = 120,
        verify_timeout: int = 300,
        endpoint: Endpoint | None = None,
    ) -> Verification:
        deployment = Deployment(
            name="demo",
            composition="",
            builder="debian",
            platform="none",
            nodes=tuple(Node(name, "server", address="127.0.0.1") for name in nodes),
            may_fail=("excused-*",),
            boot_timeout=boot_timeout,
            verify_timeout=verify_timeout,
        )

        def reach(node: Node) -> Endpoint:
            if node.name in self.elsewhere:
                found = self.elsewhere[node.name]
                if isinstance(found, Exception):
                    raise found
                return found
            return endpoint or self.server.endpoint

        platform = types.SimpleNamespace(
            deployment=deployment,
            endpoint=reach,
            shell=lambda node: self.shell,
            port_address=lambda node: node.address,
            console=lambda node, lines=50: f"console of {node.name}",
            lost=lambda nodes: {node.name: self.lost[node.name] for node in nodes if node.name in self.lost},
        )
        identities = dict.fromkeys(batch, IDENTITY)
        results = str(self.directory / "results")
        return Verification(
            deployment, t.cast(t.Any, platform), self.server.keys, identities=identities, results=results
        )


@pytest.fixture
def lab(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(server, tmp_path, monkeypatch)


def failures(report: Report) -> list[str]:
    return report.message.splitlines()


@pytest.fixture(autouse=True)
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What shells of scripts read: the host's own would find its programs before those of the test."""
    path = tmp_path / "profile"
    monkeypatch.setattr(commands, "PROFILE", str(path))
    return path
