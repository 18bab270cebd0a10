"""The commands of the stand-in for Kadeploy print and exit as the real ones did."""

from __future__ import annotations

import io
import json
import re
import shlex
import signal
import sys
import typing as t
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
from kadeploy.client import Failure  # type: ignore[import-not-found]  # conftest.py adds its directory
from kadeploy.commands import kadeploy3, kareboot3  # type: ignore[import-not-found]
from kadeploy.listings import kaenv3, kanodes3  # type: ignore[import-not-found]
from kadeploy.main import start  # type: ignore[import-not-found]  # conftest.py adds its directory
from kadeploy.options import Options  # type: ignore[import-not-found]

from .conftest import SIMULATORS

Json = dict[str, t.Any]
RECORDS: list[Json] = json.loads((SIMULATORS / "kadeploy/records/kadeploy-3.3.11-cli.json").read_text())["commands"]
COMMANDS = {"kadeploy3": kadeploy3, "kareboot3": kareboot3, "kaenv3": kaenv3, "kanodes3": kanodes3}
ENVIRONMENT = """\
name: cli
version: 3
alias: cli-alias
arch: x86_64
description: from the command line
author: alice@example.org
os: linux
image:
  file: server:///srv/images/test.tgz
  kind: tar
  compression: gzip
boot:
  kernel: /vmlinuz
  initrd: /initrd.img
  kernel_params: init=/init
filesystem: ext4
partition_type: 131
"""
#: What a recorded command had before it, besides the calls of the record.
BROKEN: dict[str, list[Json]] = {
    "sim-6 does not boot": [{"kind": "no_boot", "machine": "sim-6", "system": "deploy"}],
    "all nodes KO": [{"kind": "bmc_silent", "machine": "sim-[5-6]"}],
}
#: Commands that other recordings shared the server with, or that are not among the stand-in's.
NOT_HERE = ("kanodes3 -d", "kastat3")


@dataclass
class Ended:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


class Frontend:
    """Where users type."""

    def __init__(self, core: t.Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.core = core
        self.home = home
        monkeypatch.chdir(home)
        monkeypatch.delenv("OAR_NODEFILE", raising=False)
        for name, value in {"HOME": home, "USER": "alice", "KADEPLOY3_CONFIG_DIR": core.state}.items():
            monkeypatch.setenv(name, str(value))
        self._monkeypatch = monkeypatch

    def run(self, line: str, **environment: str) -> Ended:
        """A command, in this process: to start one takes longer than what it does."""
        for name, value in environment.items():
            self._monkeypatch.setenv(name, value)
        given, _pipe, command = line.rpartition(" | ")
        out, err = io.StringIO(), io.StringIO()
        words = shlex.split(command)
        stdin = io.StringIO(shlex.split(given)[1].replace("\\n", "\n") if given else "")
        self._monkeypatch.setattr(sys, "stdin", stdin)
        handler = signal.getsignal(signal.SIGINT)
        with redirect_stdout(out), redirect_stderr(err):
            try:
                code = COMMANDS[words[0]](words[1:])
            except Failure as failure:
                return Ended(failure.code, "", failure.message + "\n")
            finally:
                signal.signal(signal.SIGINT, handler)
        return Ended(code, out.getvalue(), err.getvalue())


MakeFrontend = t.Callable[..., Frontend]


@pytest.fixture
def frontend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[MakeFrontend]:
    """Starts a server with options, and gives a shell beside it."""
    running = []

    def begin(**options: t.Any) -> Frontend:
        rights = {"alice": ["sim-[1-8]", "node-[1-48]"]}
        chosen = Options(**{"pace": 0.01, "rights": rights, **options})
        server, core = start(tmp_path / "state", 0, chosen)
        running.append((server, core))
        home = tmp_path / "home"
        home.mkdir()
        (home / "env.yaml").write_text(ENVIRONMENT)
        (home / "bad.yaml").write_text("name: [x\n")
        (home / "bad2.yaml").write_text("name: x\n")
        (home / "keys.pub").write_text("ssh-ed25519 AAAA alice\n")
        return Frontend(core, home, monkeypatch)

    yield begin
    for server, core in running:
        server.shutdown()
        server.server_close()
        core.stop()


def _plain(text: str, home: Path) -> list[str]:
    """Without what differs from run to run; sets of nodes that work at once are put one after the other."""
    text = re.sub(r"D-[0-9a-f-]{36}", "D-", text.replace(str(home), "/home/alice"))
    lines = [re.sub(r"\b\d+s$", "", line) for line in text.splitlines()]
    return sorted(lines, key=lambda line: line.split("]")[0] if re.match(r"\[\d", line) else "")


def test_recorded_commands(frontend: MakeFrontend) -> None:
    shell = frontend()
    shell.core.machines["sim-6"].halt()
    for record in RECORDS:
        if record["cmd"].startswith(NOT_HERE):
            continue
        shell.core.faults._write(BROKEN.get(record.get("note", ""), []))
        found = shell.run(record["cmd"])
        assert found.returncode == record["rc"], (record["cmd"], found.stderr)
        assert _plain(found.stderr, shell.home) == _plain(record["stderr"], shell.home), record["cmd"]
        assert _plain(found.stdout, shell.home) == _plain(record["stdout"], shell.home), record["cmd"]
        for name, content in record.get("files", {}).items():
            kept = (shell.home / name).read_text()
            assert kept == content or (name == "wid" and kept in found.stdout), (record["cmd"], name)
