"""Compositions in temporary directories, and Nix stores that a test has for itself."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian import Debian
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
    """Writes a composition, perhaps with the lock of one of the examples; gives its directory."""

    def write(text: str, *, lock: str | None = None, name: str = "example") -> str:
        directory = tmp_path / name
        directory.mkdir(exist_ok=True)
        (directory / "composition.nix").write_text(text)
        if lock is not None:
            content = (REPOSITORY / "compositions" / lock / "compose.lock.json").read_text()
            (directory / "compose.lock.json").write_text(content)
        return str(directory)

    return write


@pytest.fixture
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Nix store instead of the host's."""
    store = tmp_path / "nix"
    for variable, folder in {
        "NIX_STORE_DIR": "store",
        "NIX_STATE_DIR": "var",
        "NIX_LOCALSTATE_DIR": "var",
        "NIX_LOG_DIR": "log",
        "NIX_CONF_DIR": "etc",
    }.items():
        monkeypatch.setenv(variable, str(store / folder))
    return store
