"""Hosts that cannot build: without a program, without privileges, with a Nix daemon that is gone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
import typing as t
from contextlib import suppress
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.builder import REQUIRED, Debian
from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.failures import explain_failure
from ansible_collections.immutable.compose.plugins.module_utils.builders.nix.log import BuildLog
from ansible_collections.immutable.compose.plugins.module_utils.builders.nix.nix import Nix, NixBuildError
from ansible_collections.immutable.compose.plugins.module_utils.errors import (
    ComposeError,
    EvaluationError,
    MissingProgramError,
)
from ansible_collections.immutable.compose.plugins.module_utils.platforms.local.machine import children
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from ..conftest import AsNobody, HostWithout
from .conftest import REPOSITORY, Compose, nothing_in, use_store, write_build

PROXY = '{ roles.proxy.packages = [ "nginx-light" ]; }'


@pytest.mark.parametrize(
    ("program", "package"),
    [
        ("nix-instantiate", "nix-bin"),
        ("nix-store", "nix-bin"),
        ("dpkg-deb", "dpkg"),
        ("unshare", "util-linux"),
        ("nsenter", "util-linux"),
    ],
)
def test_a_missing_program_is_named_with_its_package(
    debian: Debian, compose: Compose, own_store: Path, host_without: HostWithout, program: str, package: str
) -> None:
    path = compose(PROXY, lock="web")
    host_without(program)
    with pytest.raises(MissingProgramError, match=f"'{program}' is not installed; .* package '{package}'"):
        debian.build(path, {}, ["proxy"], ["root"], str(own_store / "roots"))
    assert nothing_in(own_store)


@pytest.mark.parametrize("program", ["apt-get", "apt-cache"])
def test_a_lock_needs_apt(debian: Debian, compose: Compose, host_without: HostWithout, program: str) -> None:
    path = compose(PROXY)
    host_without(program)
    with pytest.raises(MissingProgramError, match=f"'{program}' is not installed; .* package 'apt'"):
        debian.lock(path, {})
    assert os.listdir(path) == ["composition.nix"]


def test_a_kernel_that_gives_no_namespaces(
    debian: Debian, compose: Compose, own_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused before anything is fetched: a build that is not confined would be root on this host."""
    path = compose(PROXY, lock="web")
    program = tmp_path / "programs/unshare"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    with pytest.raises(ComposeError, match="this host cannot confine builds.*: unshare: unshare failed: Operation not"):
        debian.build(path, {}, ["proxy"], ["root"], str(own_store / "roots"))
    assert nothing_in(own_store)


@pytest.fixture
def public_store(public: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store where others may look, not write."""
    (public / "nix").mkdir()
    return use_store(monkeypatch, public / "nix")


def test_users_who_are_lent_no_others_are_refused(public: Path, as_nobody: AsNobody, public_store: Path) -> None:
    """Who may write the store may still not build: a build has many users."""
    support = shutil.copytree(REPOSITORY / "nix", public / "support")
    path = shutil.copytree(REPOSITORY / "compositions/web", public / "web")
    debian = Debian(str(support), Progress())
    debian.evaluate(str(path), {})  # imports what nobody may read
    (public_store / "store").mkdir()
    os.chown(public_store, 65534, 65534)
    with as_nobody(), pytest.raises(ComposeError, match=r"\.local: Permission denied; the Nix store of a user"):
        debian.build(str(path), {}, ["proxy"], ["root"], str(public / "roots"))
    os.chown(public, 65534, 65534)
    with as_nobody(), pytest.raises(ComposeError, match="who is not root, cannot build Debian images"):
        debian.build(str(path), {}, ["proxy"], ["root"], str(public / "roots"))
    assert nothing_in(public_store)
    assert not (public / "roots").exists()


def test_a_store_that_may_not_be_written(public: Path, as_nobody: AsNobody, public_store: Path) -> None:
    file, nix = write_build(public, "true"), Nix(Progress(), REQUIRED)
    with (
        as_nobody(),
        pytest.raises(ComposeError, match="store cannot be used: .*Permission denied; run as root"),
    ):
        nix.instantiate(file, ["a"], {})
    assert list((public_store).iterdir()) == []


def test_a_file_of_the_composition_that_may_not_be_read_is_no_matter_of_the_store(
    public: Path, as_nobody: AsNobody, public_store: Path
) -> None:
    (public / "secret").touch(mode=0o600)
    (public / "default.nix").write_text("{ }: { a = builtins.readFile ./secret; }")
    with as_nobody(), pytest.raises(EvaluationError, match=r"/secret': Permission denied"):
        Nix(Progress()).evaluate(int, str(public / "default.nix"), "a", {})


def test_a_daemon_that_does_not_run(
    debian: Debian, compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIX_REMOTE", f"unix://{tmp_path}/socket")
    path = compose(PROXY, lock="web")
    assert debian.evaluate(path, {}).roles["proxy"].identity
    with pytest.raises(
        ComposeError,
        match="the Nix store cannot be used: .*cannot connect to socket.*; make sure that the Nix daemon is running",
    ):
        debian.build(path, {}, ["proxy"], ["root"], str(tmp_path / "roots"))
    assert not (tmp_path / "roots").exists()


class Daemon:
    """A Nix daemon for one store."""

    def __init__(self, store: Path, socket: Path) -> None:
        # With a state directory of its own: without one it would look for a daemon, and find itself.
        (store / "var").mkdir(parents=True)
        config = "sandbox = false\nbuild-users-group =\nsubstituters =\n"
        environment = {**os.environ, "NIX_REMOTE": "local", "NIX_DAEMON_SOCKET_PATH": str(socket), "NIX_CONFIG": config}
        self.process = subprocess.Popen(["nix-daemon"], env=environment, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not socket.exists():
            assert time.monotonic() < end, "the daemon does not start"
            time.sleep(0.01)

    def kill(self) -> None:
        """The daemon, its process for each connection, and what that builds."""
        tree = [self.process.pid]
        for pid in tree:
            tree += children(pid)
        for pid in tree:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def daemon(own_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Daemon]:
    daemon = Daemon(own_store, tmp_path / "socket")
    monkeypatch.setenv("NIX_REMOTE", f"unix://{tmp_path}/socket")
    yield daemon
    if daemon.process.poll() is None:
        daemon.kill()


def test_a_daemon_that_is_killed_in_the_middle(daemon: Daemon, tmp_path: Path) -> None:
    started = tmp_path / "started"
    file, nix = write_build(tmp_path, f"echo > {started}; while :; do /bin/sleep 0.1; done"), Nix(Progress(), REQUIRED)
    derivations = nix.instantiate(file, ["a"], {})
    log = BuildLog(Progress(), str)

    def kill() -> None:
        while not started.exists():
            time.sleep(0.01)
        daemon.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(NixBuildError) as failed:
        nix.realise(derivations, log, log.describe)
    killer.join()
    assert "the Nix daemon was killed or does not run; start it and run again" in str(
        explain_failure(failed.value, {}, {})
    )
    gone = "the Nix store cannot be used: .*; make sure that the Nix daemon is running, and run again"
    for step in (
        lambda: nix.instantiate(file, ["a"], {}),
        lambda: nix.missing(derivations),
        lambda: nix.add_root(str(tmp_path / "roots/a"), derivations[0]),
    ):
        with pytest.raises(ComposeError, match=gone):
            step()
