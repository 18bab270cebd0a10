"""A real SSH server on loopback, with a host key and certificate made by the collection."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.nodes.connection import Connection
from ansible_collections.immutable.compose.plugins.module_utils.nodes.endpoint import Endpoint
from ansible_collections.immutable.compose.plugins.module_utils.nodes.keys import Keys

SSHD = "/usr/sbin/sshd"
NODE = "oar-server"


class Server:
    """One ``sshd`` process that stands for a node; programs in ``bin`` come first in its ``PATH``."""

    def __init__(self, directory: Path, *, host_key_of: str = NODE, port: int | None = None) -> None:
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
            ["setpriv", "--pdeathsig", "KILL", SSHD, "-D", "-e", "-f", str(directory / "sshd_config")],
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
