# SPDX-License-Identifier: GPL-3.0-or-later
"""A host of the inventory that builds and runs nodes, behind a real SSH server."""

from __future__ import annotations

import os
import socket
import subprocess
import typing as t
from contextlib import contextmanager
from pathlib import Path

import yaml
from lab import Lab, wait_for_port

NAME = "builder"


@contextmanager
def builder_of(lab: Lab) -> t.Iterator[subprocess.Popen[bytes]]:
    """Its SSH server; its Python has what the modules need."""
    directory = lab.directory / "ssh"
    directory.mkdir()
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (directory / "known_hosts").write_text(f"[127.0.0.1]:{port} {(directory / 'host.pub').read_text()}")
    options = {
        "HostKey": directory / "host",
        "ListenAddress": f"127.0.0.1:{port}",
        "AuthorizedKeysFile": directory / "client.pub",
        "StrictModes": "no",
        "UsePAM": "no",
        "PidFile": "none",
        "Subsystem": "sftp internal-sftp",
    }
    os.makedirs("/run/sshd", exist_ok=True)
    server = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "/usr/sbin/sshd", "-D", "-f", "/dev/null"]
        + [word for key, value in options.items() for word in ("-o", f"{key} {value}")]
    )
    wait_for_port(port)
    variables = {
        "ansible_host": "127.0.0.1",
        "ansible_port": port,
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(directory / "client"),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={directory / 'known_hosts'} -o ControlMaster=no",
        "ansible_python_interpreter": str(Path(lab.program("python"))),
    }
    (lab.inventory / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {NAME: variables}}}))
    yield server
    server.kill()
    server.wait()
