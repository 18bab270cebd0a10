"""Where Ansible's connections to nodes are kept, and what becomes of it when nodes are others."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.plugin_utils import connections


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path))
    monkeypatch.setattr(connections, "directory_of_run", lambda: str(tmp_path / "run"))
    return tmp_path


def kept(state: str) -> Path:
    """A socket, as OpenSSH makes it."""
    socket = Path(connections.control_directory(state)) / "0123456789"
    socket.parent.mkdir(parents=True)
    socket.touch()
    return socket


def test_a_connection_that_ends_late_takes_none_of_those_away_that_came_after_it(home: Path) -> None:
    first = kept("/state/web")
    connections.forget("/state/web")
    assert not first.parent.exists()
    second = kept("/state/web")
    first.unlink(missing_ok=True)  # as its process does when it notices
    assert second.exists() and second != first
    assert connections.control_directory("/state/web") == str(second.parent)
    connections.forget("/state/web")
    assert sorted(path.name for path in (home / "cp").iterdir()) == [f"{first.parent.name[:-2]}.now"]


def test_deployments_have_connections_of_their_own(home: Path) -> None:
    web, other = kept("/state/web"), kept("/state/other")
    connections.forget("/state/web")
    assert not web.exists() and other.exists()


def test_nothing_is_made_where_nobody_has_connected(home: Path) -> None:
    connections.forget("/state/web")
    assert list(home.iterdir()) == []
