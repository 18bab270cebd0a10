"""Substitutes of a real ``guix publish``: used if signed by an authorized key; not if changed, or of another key."""

from __future__ import annotations

import gzip
import os
import secrets
import shutil
import socket
import subprocess
import time
import typing as t
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.guix.builder import GuixBuilder
from ansible_collections.immutable.compose.plugins.module_utils.builders.guix.command import Guix
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import DATA, ROOT, MakeBuilder, forget, guix

ETC = ROOT / ".cache/chroots/sid/etc/guix"
NO_BUILDS = "--max-jobs=0"


@dataclass
class Server:
    """``guix publish``, with something that is in the store no more."""

    directory: Path
    port: int
    derivation: str
    output: str
    key: Path
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def url(self) -> str:
        return f"--substitute-urls=http://127.0.0.1:{self.port}"

    def narinfo(self) -> str:
        """What it says of the output; it needs a moment to make the archive."""
        address = f"http://127.0.0.1:{self.port}/{os.path.basename(self.output)[:32]}.narinfo"
        for _attempt in range(100):
            try:
                with urllib.request.urlopen(address, timeout=5) as answer:
                    text: str = answer.read().decode()
                if text.startswith("StorePath:"):
                    return text
            except (urllib.error.URLError, ConnectionError):
                pass
            time.sleep(0.2)
        raise AssertionError(f"{address} was never served")

    def stop(self) -> None:
        # A process that made namespaces heeds no other signal.
        self.process.kill()
        self.process.wait()


def derivation_of(directory: Path, commands: str) -> str:
    (directory / "busybox/bin").mkdir(parents=True, exist_ok=True)
    shutil.copy("/bin/busybox", directory / "busybox/bin/busybox")
    name = f"published-{secrets.token_hex(4)}"
    environment = {"BUSYBOX": str(directory / "busybox"), "NAME": name, "COMMANDS": commands}
    return guix("build", "-d", "-f", str(DATA / "raw.scm"), **environment)


@pytest.fixture
def tool(said: Path) -> Guix:
    return Guix(Progress(str(said)), "", "", "{}")


@pytest.fixture
def server(tmp_path: Path, tool: Guix) -> t.Iterator[Server]:
    derivation = derivation_of(tmp_path, f"echo content {secrets.token_hex(4)} > $out")
    tool.realise("build", [derivation])
    secret, public = tmp_path / "secret", tmp_path / "public"
    guix("repl", "--", str(DATA / "generate_key.scm"), str(secret), str(public))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["guix", "publish", "--listen=127.0.0.1", f"--port={port}", f"--cache={tmp_path}/cache"]
    command += ["--compression=gzip", f"--private-key={secret}", f"--public-key={public}"]
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    made = Server(tmp_path, port, derivation, tool.output(derivation), public, process)
    try:
        made.narinfo()
        forget(made.output)
        yield made
    finally:
        made.stop()


@pytest.fixture
def authorized(server: Server) -> t.Iterator[None]:
    """The daemon trusts the server's key, for as long as the test lasts."""
    acl = ETC / "acl"
    before = acl.read_bytes() if acl.exists() else None
    with open(server.key, "rb") as key:
        subprocess.run(["guix", "archive", "--authorize"], stdin=key, check=True, timeout=60)
    yield
    if before is None:
        acl.unlink()
    else:
        acl.write_bytes(before)


def kind_of(error: pytest.ExceptionInfo[ComposeError]) -> str:
    assert error.value.failure is not None, str(error.value)
    return str(error.value.failure.kind)


def test_what_an_authorized_key_signed_is_fetched(server: Server, authorized: None, tool: Guix) -> None:
    tool.realise("fetch", [server.derivation], server.url, NO_BUILDS)
    assert Path(server.output).read_text().startswith("content ")


def test_what_another_key_signed_is_not_fetched(server: Server, tool: Guix) -> None:
    with pytest.raises(ComposeError) as error:
        tool.realise("fetch", [server.derivation], server.url, NO_BUILDS)
    assert kind_of(error) == "system"
    tool.realise("build", [server.derivation], server.url)
    assert tool.is_valid(server.output)


def test_tampering_is_found(server: Server, authorized: None, tool: Guix) -> None:
    (archive,) = (server.directory / "cache").rglob("*.nar")
    archive.write_bytes(gzip.compress(gzip.decompress(archive.read_bytes()).replace(b"content ", b"CONTENT ")))
    with pytest.raises(ComposeError) as error:
        tool.realise("fetch", [server.derivation], server.url, NO_BUILDS)
    assert kind_of(error) == "cache-damaged", error.value.failure
    assert not tool.is_valid(server.output)


def test_a_server_that_is_gone_is_told_or_done_without(server: Server, authorized: None, tool: Guix) -> None:
    server.stop()
    with pytest.raises(ComposeError) as error:
        tool.realise("fetch", [server.derivation], server.url, NO_BUILDS)
    assert kind_of(error) == "cache-unreachable"
    tool.realise("build", [server.derivation], server.url, "--fallback")
    assert tool.is_valid(server.output)


def check_keys(builder: MakeBuilder, composition: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{GuixBuilder.__module__}.ACL", str(ETC / "acl"))
    make = builder(substitute_keys=[str(server.key)])
    make._check_keys(make._read(str(composition), {}))


def test_a_key_that_the_host_has_not_authorized_is_refused(
    server: Server, builder: MakeBuilder, composition: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="guix archive --authorize") as error:
        check_keys(builder, composition, server, monkeypatch)
    assert kind_of(error) == "cache-unsigned"


def test_a_key_that_the_host_has_authorized_is_not_refused(
    server: Server, authorized: None, builder: MakeBuilder, composition: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_keys(builder, composition, server, monkeypatch)
