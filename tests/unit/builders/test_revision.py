# SPDX-License-Identifier: GPL-3.0-or-later
"""Compositions at git revisions."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import typing as t
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
        self.git("init", "--quiet")

    def git(self, *arguments: str) -> str:
        command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *arguments]
        return subprocess.run(command, cwd=self.top, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, text: str) -> str:
        (self.composition / "composition.nix").write_text(text)
        (self.top / "common.nix").write_text(text)
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", text)
        return self.git("rev-parse", "HEAD")


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
    with pytest.raises(
        InputError, match=f"compose_revision: there is no revision '{revision}' in .*/repository, which has no such"
    ):
        source_at(str(repository.composition), revision)


def test_a_directory_outside_a_repository_has_no_revisions(tmp_path: Path) -> None:
    assert git_revision(str(tmp_path)) is None
    with pytest.raises(InputError, match="compose_revision: .* is not in a git repository: "):
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


def test_a_misspelt_branch_is_told_with_the_nearest(repository: Repository) -> None:
    repository.commit("first")
    repository.git("branch", "production")
    with pytest.raises(InputError, match="no revision 'prodution' in .*; did you mean 'production'?"):
        source_at(str(repository.composition), "prodution")


def test_a_repository_without_a_commit(repository: Repository) -> None:
    assert git_revision(str(repository.composition)) is None
    with pytest.raises(InputError, match="no revision 'HEAD' in .*, which has no commit yet"):
        source_at(str(repository.composition), "HEAD")


def test_a_shallow_clone_says_how_to_get_the_rest(repository: Repository, tmp_path: Path) -> None:
    repository.commit("first")
    head = repository.commit("second")
    clone = tmp_path / "clone"
    repository.git("clone", "--quiet", "--depth", "1", f"file://{repository.top}", str(clone))
    composition = str(clone / "compositions" / "site")
    assert source_at(composition, "HEAD").revision == head
    with pytest.raises(InputError) as error:
        source_at(composition, "HEAD~1")
    for word in ("'HEAD~1'", f"{clone}, which is a shallow clone", f"'git -C {clone} fetch --unshallow'"):
        assert word in str(error.value)


@pytest.fixture
def of_another() -> t.Iterator[tuple[Repository, str]]:
    """A repository of a user that has no name here, and its commit; the way to it is open for all."""
    top = Path(tempfile.mkdtemp(prefix="compose-test-"))
    top.chmod(0o755)
    repository = Repository(top / "repository")
    first = repository.commit("first")
    for folder, folders, files in os.walk(repository.top):
        for name in (".", *folders, *files):
            os.chown(os.path.join(folder, name), 54321, 54321)
    yield repository, first
    shutil.rmtree(top)


def test_the_repository_of_another_user_is_read_as_that_user(of_another: tuple[Repository, str]) -> None:
    """Some of what it has configured is run, so not as root."""
    repository, first = of_another
    programs = {name: repository.top / name for name in ("monitor", "filter")}
    for name, program in programs.items():
        program.write_text(f"#!/bin/sh\nid -u > {repository.top}/{name}.ran\ncat\n")
        program.chmod(0o755)
    with open(repository.top / ".git" / "config", "a", encoding="utf-8") as stream:
        stream.write(f'[core]\n\tfsmonitor = {programs["monitor"]}\n[filter "own"]\n\tclean = {programs["filter"]}\n')
    (repository.top / ".git" / "info" / "attributes").write_text("*.nix filter=own\n")
    assert git_revision(str(repository.composition)) == first
    (repository.composition / "composition.nix").write_text("changed")
    assert git_revision(str(repository.composition)) == f"{first}-dirty"
    assert (repository.top / "filter.ran").read_text() == "54321\n"
    assert not (repository.top / "monitor.ran").exists()
    source = source_at(str(repository.composition), "HEAD")
    assert source.revision == first
    assert Path(source.path, "composition.nix").read_text() == "first"
    assert os.stat(source.path).st_uid == os.geteuid()


def test_who_cannot_become_that_user_is_told(
    of_another: tuple[Repository, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, first = of_another
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    said: list[str] = []
    assert git_revision(str(repository.composition), said.append) is None
    with pytest.raises(InputError) as error:
        source_at(str(repository.composition), first)
    for text in (said[0], str(error.value)):
        for word in (str(repository.top), "the user 54321", "git config --global --add safe.directory"):
            assert word in text
