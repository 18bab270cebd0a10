# SPDX-License-Identifier: GPL-3.0-or-later
"""An OAR without jobs, and its frontend."""

from __future__ import annotations

import json
import socket
import time
import typing as t

import pytest
from frontend import host, login_server

from .play import PATIENCE, Site, jobs, oar


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
    with login_server(directory, "alice") as port, socket.create_server(("127.0.0.1", 0)) as unused:
        (directory / "config").write_text(
            host(directory, "frontend", port, "alice")
            + host(directory, "stranger", port, "bob")
            + host(directory, "unknown", port, "alice", known_hosts="unknown_hosts")
            + host(directory, "off", unused.getsockname()[1], "alice")
        )
        unused.close()
        yield Site(directory, directory / "config")
