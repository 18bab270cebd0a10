# SPDX-License-Identifier: GPL-3.0-or-later
"""Compositions at git revisions."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.revision import git_revision, source_at
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError


class Repository:
    """A composition below the top of a repository, and a file beside it."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.composition = top / "compositions" / "site"
        self.composition.mkdir(parents=True)
        self._git("init", "--quiet")

    def _git(self, *arguments: str) -> str:
        command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *arguments]
        return subprocess.run(command, cwd=self.top, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, text: str) -> str:
        (self.composition / "composition.nix").write_text(text)
        (self.top / "common.nix").write_text(text)
        self._git("add", ".")
        self._git("commit", "--quiet", "--message", text)
        return self._git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def test_without_a_revision_the_directory_is_taken_as_it_is(tmp_path: Path) -> None:
    source = source_at(str(tmp_path), "")
    assert (source.path, source.revision) == (str(tmp_path), None)


def test_an_older_revision_comes_with_what_is_beside_it(repository: Repository) -> None:
    first = repository.commit("first")
    repository.commit("second")
    source = source_at(str(repository.composition), first[:8])
    assert source.revision == first
    assert os.path.basename(source.path) == "site"
    assert Path(source.path, "composition.nix").read_text() == "first"
    assert Path(source.path, "../../common.nix").read_text() == "first"
    assert (repository.composition / "composition.nix").read_text() == "second"


def test_what_was_taken_goes_with_its_source(repository: Repository) -> None:
    source = source_at(str(repository.composition), repository.commit("first"))
    path = Path(source.path)
    assert path.exists()
    del source
    assert not path.exists()


@pytest.mark.parametrize("revision", ["nothing", "--output=/x", "HEAD~7"])
def test_a_revision_that_is_not_there_is_refused_by_name(repository: Repository, revision: str) -> None:
    repository.commit("first")
    with pytest.raises(InputError, match=f"compose_revision: .*site cannot be had at revision '{revision}'"):
        source_at(str(repository.composition), revision)


def test_a_directory_outside_a_repository_has_no_revisions(tmp_path: Path) -> None:
    assert git_revision(str(tmp_path)) is None
    with pytest.raises(InputError, match="cannot be had at revision 'HEAD'"):
        source_at(str(tmp_path), "HEAD")


def test_a_revision_from_before_the_composition(repository: Repository) -> None:
    first = repository.commit("first")
    later = repository.top / "later"
    later.mkdir()
    with pytest.raises(InputError, match=f"later does not exist at revision '{first}'"):
        source_at(str(later), first)


def test_local_changes_are_told(repository: Repository) -> None:
    first = repository.commit("first")
    assert git_revision(str(repository.composition)) == first
    (repository.composition / "composition.nix").write_text("changed")
    assert git_revision(str(repository.composition)) == f"{first}-dirty"
