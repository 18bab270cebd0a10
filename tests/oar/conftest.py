# SPDX-License-Identifier: GPL-3.0-or-later
"""An OAR without jobs, and its frontend."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import typing as t
from pathlib import Path

import pytest

from .play import PATIENCE, Site, jobs, oar


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture(autouse=True)
def empty() -> t.Iterator[None]:
    """No jobs before and after a test."""
    for user in ("alice", "bob"):
        for id_ in jobs(user):
            oar("oardel", str(id_), user=user)
    end = time.monotonic() + PATIENCE
    while any(json.loads(oar("oarstat", "-J", "-u", user, user=user) or "{}") for user in ("alice", "bob")):
        assert time.monotonic() < end, "jobs do not end"
        time.sleep(0.5)
    yield


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Site]:
    """An SSH server that lets alice in, and a configuration with ways to it that fail."""
    directory = tmp_path_factory.mktemp("site")
    for key in ("host", "alice"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / key)], check=True)
    keys = Path(f"/run/compose-oar/keys-{os.getpid()}")  # where others may read
    keys.write_text((directory / "alice.pub").read_text())
    port, unused = free_port(), free_port()
    Path("/run/sshd").mkdir(exist_ok=True)
    options = {
        "ListenAddress": "127.0.0.1",
        "Port": port,
        "HostKey": directory / "host",
        "PidFile": "none",
        "AuthorizedKeysFile": keys,
        "AllowUsers": "alice",
        "StrictModes": "no",
    }
    given = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
    server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", "/dev/null", *given], stderr=subprocess.DEVNULL)
    (directory / "known_hosts").write_text(f"[127.0.0.1]:{port} {(directory / 'host.pub').read_text()}")
    common = f"  HostName 127.0.0.1\n  IdentityFile {directory}/alice\n  IdentitiesOnly yes\n"
    known = f"  UserKnownHostsFile {directory}/known_hosts\n"
    (directory / "config").write_text(
        f"Host frontend\n{common}{known}  Port {port}\n  User alice\n"
        f"Host stranger\n{common}{known}  Port {port}\n  User bob\n"
        f"Host unknown\n{common}  UserKnownHostsFile /dev/null\n  Port {port}\n  User alice\n"
        f"Host off\n{common}{known}  Port {unused}\n  User alice\n"
    )
    end = time.monotonic() + PATIENCE
    while socket.socket().connect_ex(("127.0.0.1", port)):
        assert time.monotonic() < end
        time.sleep(0.05)
    yield Site(directory, directory / "config")
    server.terminate()
    server.wait()
    keys.unlink()
