# SPDX-License-Identifier: GPL-3.0-or-later
"""An SSH server of this host, as that of a site's frontend."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import typing as t
from contextlib import contextmanager
from pathlib import Path

from lab import wait_for_port


@contextmanager
def login_server(directory: Path, user: str, **options: object) -> t.Iterator[int]:
    """Lets one user in, with the key ``user`` of the directory, where ``known_hosts`` has the host's: the port.

    :param options: of its configuration.
    """
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / key)], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    (directory / "known_hosts").write_text(f"[127.0.0.1]:{port} {(directory / 'host.pub').read_text()}")
    Path("/run/sshd").mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir="/run", prefix="compose-keys-") as keys:  # where the user may read
        keys.write((directory / "user.pub").read_text())
        keys.flush()
        Path(keys.name).chmod(0o644)
        settings = {
            "ListenAddress": "127.0.0.1",
            "Port": port,
            "HostKey": directory / "host",
            "PidFile": "none",
            "AuthorizedKeysFile": keys.name,
            "AllowUsers": user,
            "StrictModes": "no",
            **options,
        }
        given = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
        command = ["/usr/sbin/sshd", "-D", "-f", "/dev/null", *given]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as server:
            try:
                wait_for_port(port)
                yield port
            finally:
                server.terminate()


def host(directory: Path, name: str, port: int, user: str, known_hosts: str = "known_hosts") -> str:
    """The server in a configuration of ``ssh``."""
    return (
        f"Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  User {user}\n  IdentityFile {directory}/user\n"
        f"  IdentitiesOnly yes\n  UserKnownHostsFile {directory / known_hosts}\n"
    )
