"""The manifest of a composition, and when it is out of date."""

from __future__ import annotations

import json
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.builder import Debian
from ansible_collections.immutable.compose.plugins.module_utils.describe.load import (
    is_stale,
    load,
    manifest,
    read_manifest,
    source_digest,
)
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.model import codec
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Composition, Role
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress


def write(directory: Path, **changes: t.Any) -> str:
    """A composition with its manifest: the path of the latter."""
    (directory / "composition.nix").write_text("{ }")
    composition = Composition("web", "debian", str(directory), "digest", {"proxy": Role("proxy", ports=(80,))})
    path = directory / "composition.json"
    path.write_text(json.dumps({**codec.encode(manifest(composition)), **changes}))
    return str(path)


def test_a_manifest_is_read_where_it_lies(tmp_path: Path) -> None:
    composition = read_manifest(write(tmp_path, path="/elsewhere"), "debian")
    assert (composition.name, composition.path, composition.roles["proxy"].ports) == ("web", str(tmp_path), (80,))
    assert not is_stale(composition)


@pytest.mark.parametrize("file", ["composition.nix", "new.conf", "folder/new.conf"])
def test_any_other_content_makes_it_stale(tmp_path: Path, file: str) -> None:
    composition = read_manifest(write(tmp_path), "debian")
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("other")
    assert is_stale(composition)


def test_hidden_files_broken_links_and_the_manifest_do_not_count(tmp_path: Path) -> None:
    before = source_digest(str(tmp_path))
    write(tmp_path)
    (tmp_path / "composition.nix").unlink()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("main")
    (tmp_path / "result").symlink_to("/nowhere")
    assert source_digest(str(tmp_path)) == before


def test_what_was_evaluated_here_is_not_stale(tmp_path: Path) -> None:
    assert not is_stale(replace(read_manifest(write(tmp_path), "debian"), source=None))


def test_unreadable_manifests_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "composition.json"
    path.write_text('{"schema": ')
    with pytest.raises(InputError, match=r"composition\.json: expected a JSON object .*line 1.* writes it again"):
        read_manifest(str(path), "debian")
    with pytest.raises(InputError, match="evaluated by builder 'debian', expected 'guix'"):
        read_manifest(write(tmp_path), "guix")


def test_what_is_no_directory_of_a_composition_is_said(tmp_path: Path) -> None:
    (tmp_path / "composition.nix").write_text("{ ... }: { }")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name, why in (
        ("composition.nix", "is a file, expected the composition's directory"),
        ("loop", "Too many levels of symbolic links, expected the directory of a composition"),
        ("dangling", "no such directory, expected a composition (it is a link to 'nowhere', which leads nowhere)"),
        ("composition.nix/more", "Not a directory, expected the directory of a composition"),
        ("gone", "gone: no such directory, expected a composition"),
    ):
        with pytest.raises(InputError) as error:
            load(str(tmp_path / name), {}, Debian("", Progress()))
        assert f"{tmp_path / name}" in str(error.value) and why in str(error.value)
