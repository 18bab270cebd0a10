# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that reach Nix: caches behind a server, and machines that build for this host."""

from __future__ import annotations

import base64
import functools
import http.server
import os
import socket
import subprocess
import threading
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.builder import Debian
from ansible_collections.immutable.compose.plugins.module_utils.builders.nix.log import BuildLog
from ansible_collections.immutable.compose.plugins.module_utils.builders.nix.nix import Nix, settings_of
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import write_build

SETTINGS = {"sandbox": "false", "filter-syscalls": "false"}


def with_options(**options: t.Any) -> Nix:
    """Nix as a builder with these options calls it."""
    return Nix(Progress(), {**SETTINGS, **settings_of(Debian("", Progress(), options))})


def built(nix: Nix, derivation: str, *options: str) -> str:
    (path,) = nix.realise([derivation], BuildLog(Progress(), str), lambda: "", *options)
    return Path(path).read_text()


def test_options_become_settings() -> None:
    options = {
        "substituters": ["s3://bucket?endpoint=s3.example.org", "ssh-ng://cache.example.org"],
        "trusted_public_keys": ["lab-1:abc="],
        "remote_builders": ["ssh-ng://a x86_64-linux", "ssh-ng://b aarch64-linux"],
    }
    assert settings_of(Debian("", Progress(), options)) == {
        "extra-substituters": "s3://bucket?endpoint=s3.example.org ssh-ng://cache.example.org",
        "extra-trusted-public-keys": "lab-1:abc=",
        "builders": "ssh-ng://a x86_64-linux ; ssh-ng://b aarch64-linux",
    }
    assert settings_of(Debian("", Progress())) == {}


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files, without a word."""

    def log_message(self, format: str, *args: t.Any) -> None:
        """Nothing."""


@pytest.fixture
def web(tmp_path: Path) -> t.Iterator[str]:
    """Address of a server that has the directory ``cache``."""
    (tmp_path / "cache").mkdir()
    handler = functools.partial(Quiet, directory=str(tmp_path / "cache"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("own_store")
def test_a_cache_behind_a_web_server(tmp_path: Path, web: str) -> None:
    secret, public = tmp_path / "secret", tmp_path / "public"
    subprocess.run(["nix-store", "--generate-binary-cache-key", "lab-1", secret, public], check=True, timeout=60)
    nix = with_options(substituters=[web], trusted_public_keys=[public.read_text().strip()])
    (derivation,) = nix.instantiate(write_build(tmp_path, "echo made > $out"), ["a"], {})
    assert built(nix, derivation) == "made\n"
    paths = nix.outputs([derivation])
    nix.push(paths, f"file://{tmp_path}/cache", str(secret))
    subprocess.run(["nix-store", "--delete", *paths], check=True, timeout=60, capture_output=True)
    assert built(nix, derivation, "--max-jobs", "0") == "made\n"


class Machine:
    """Another host, as far as Nix can tell: an SSH server, behind which the same paths are another store."""

    def __init__(self, directory: Path, store: Path) -> None:
        self.directory = directory
        directory.mkdir()
        for name in ("host", "client"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name], check=True)
        folders = {"STORE": "store", "STATE": "var", "LOCALSTATE": "var", "LOG": "log", "CONF": "etc"}
        variables = [f"NIX_{name}_DIR={store / folder}" for name, folder in folders.items()]
        (directory / "nix").mkdir()
        entry = directory / "enter"
        entry.write_text(
            "#!/bin/sh\n"
            f"echo entered >> {directory}/log\n"
            f"export {' '.join(variables)} NIX_CONFIG='sandbox = false\nbuild-users-group =\nsubstituters ='\n"
            f'exec unshare --mount sh -c "mount --bind {directory}/nix {store} && exec $SSH_ORIGINAL_COMMAND"\n'
        )
        entry.chmod(0o755)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        options = [
            f"HostKey {directory}/host",
            f"ListenAddress 127.0.0.1:{self.port}",
            f"AuthorizedKeysFile {directory}/client.pub",
            f"ForceCommand {entry}",
            "StrictModes no",
            "UsePAM no",
            "PidFile none",
        ]
        os.makedirs("/run/sshd", exist_ok=True)
        words = [word for option in options for word in ("-o", option)]
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "/usr/sbin/sshd", "-D", "-f", "/dev/null", *words]
        )
        for _dummy in range(1200):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("sshd does not answer")

    def line(self) -> str:
        """As Nix's setting ``builders`` has it: store, systems, key, jobs, speed, features, required ones, host key."""
        host_key = base64.b64encode((self.directory / "host.pub").read_bytes().strip()).decode()
        return f"ssh-ng://root@127.0.0.1 x86_64-linux,aarch64-linux {self.directory}/client 1 1 - - {host_key}"


@pytest.fixture
def machine(tmp_path: Path, own_store: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Machine]:
    machine = Machine(tmp_path / "machine", own_store)
    monkeypatch.setenv("NIX_SSHOPTS", f"-p {machine.port} -F none")
    yield machine
    machine.process.kill()
    machine.process.wait()


def test_another_machine_builds(tmp_path: Path, own_store: Path, machine: Machine) -> None:
    nix = with_options(remote_builders=[machine.line()])
    text = write_build(tmp_path, "echo built > $out")
    (derivation,) = nix.instantiate(text, ["a"], {})
    assert built(nix, derivation, "--max-jobs", "0") == "built\n"
    (path,) = nix.outputs([derivation])
    # It was made there, and copied here.
    assert (machine.directory / "nix" / Path(path).relative_to(own_store)).read_text() == "built\n"
    assert (machine.directory / "log").read_text().startswith("entered\n")
