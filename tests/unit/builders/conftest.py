"""Compositions in temporary directories, and Nix stores that a test has for itself."""

from __future__ import annotations

import json
import shutil
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.apt import (
    PrivateApt,
    configured_mirrors,
)
from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.builder import Debian
from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.lock import KERNEL_SUPPORT
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

REPOSITORY = Path(__file__).parents[3]

Compose = t.Callable[..., str]


@pytest.fixture
def progress(tmp_path: Path) -> t.Iterator[Path]:
    path = tmp_path / "progress"
    path.touch()
    return path


@pytest.fixture
def debian(progress: Path) -> Debian:
    return Debian(str(REPOSITORY / "nix"), Progress(str(progress)))


@pytest.fixture
def compose(tmp_path: Path) -> Compose:
    """Writes a composition, perhaps with the lock of nfs, or of web but for its kernels; gives its directory."""

    def write(text: str, *, lock: str | None = None, name: str = "example") -> str:
        directory = tmp_path / name
        directory.mkdir(exist_ok=True)
        (directory / "composition.nix").write_text(text)
        if lock is not None:
            content = json.loads((REPOSITORY / "compositions" / lock / "compose.lock.json").read_text())
            if lock == "web":
                _drop_kernels(content)
            (directory / "compose.lock.json").write_text(json.dumps(content))
        return str(directory)

    return write


def _drop_kernels(lock: dict[str, t.Any]) -> None:
    for role in lock["roles"].values():
        if role.pop("requested_kernel", None) is not None:
            del role["kernel"]
            role["requested"] = sorted(set(role["requested"]) - set(KERNEL_SUPPORT))


@pytest.fixture(scope="session")
def apt(tmp_path_factory: pytest.TempPathFactory) -> PrivateApt:
    apt = PrivateApt(str(tmp_path_factory.mktemp("apt")), "bookworm", "amd64", configured_mirrors(), Progress())
    apt.update()
    return apt


@pytest.fixture
def fetched(apt: PrivateApt, monkeypatch: pytest.MonkeyPatch) -> PrivateApt:
    """Spares the mirror: package lists are fetched once."""

    def update(self: PrivateApt) -> None:
        lists = Path(apt._status).parent / "state"
        shutil.copytree(lists, Path(self._status).parent / "state", dirs_exist_ok=True)

    monkeypatch.setattr(PrivateApt, "update", update)
    return apt


def use_store(monkeypatch: pytest.MonkeyPatch, store: Path) -> Path:
    """An empty Nix store instead of the host's."""
    folders = {"STORE": "store", "STATE": "var", "LOCALSTATE": "var", "LOG": "log", "CONF": "etc"}
    for variable, folder in folders.items():
        monkeypatch.setenv(f"NIX_{variable}_DIR", str(store / folder))
    return store


def nothing_in(store: Path) -> bool:
    """Whether no derivation was written, and nothing was fetched or built."""
    return [path.name for path in store.glob("store/*") if path.name != ".links"] == []


@pytest.fixture
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store that a test has for itself."""
    return use_store(monkeypatch, tmp_path / "nix")


def write_build(directory: Path, commands: str) -> str:
    """A Nix file with one derivation, ``a``, that runs these commands."""
    file = directory / "default.nix"
    file.write_text(
        '{ }: { a = derivation { name = "a"; system = builtins.currentSystem; builder = "/bin/sh"; '
        f"args = [ \"-c\" ''{commands}'' ]; }}; }}"
    )
    return str(file)
