# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that come along to another host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils import shipped
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.shipped import PACKED, Packed


@pytest.fixture
def composition(tmp_path: Path) -> Path:
    directory = tmp_path / "site"
    (directory / "files").mkdir(parents=True)
    (directory / "composition.nix").write_text("{ }")
    (directory / "files" / "raw").write_bytes(bytes(range(256)))
    (directory / "files" / "run").touch(mode=0o755)
    (directory / ".git").mkdir()
    (directory / ".git" / "config").write_text("[core]")
    (directory / ".env").write_text("token")
    return directory


def arrive(packed: Packed, state: Path) -> Path:
    """What the module makes of it on its host."""
    file = state / packed.digest / PACKED
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(packed.content)
    return Path(shipped.unpack(str(file), packed.name))


def test_files_arrive_as_they_were_and_hidden_ones_stay(composition: Path, tmp_path: Path) -> None:
    there = arrive(shipped.pack(str(composition)), tmp_path / "state")
    assert there.name == "site"
    found = sorted(str(path.relative_to(there)) for path in there.rglob("*"))
    assert found == ["composition.nix", "files", "files/raw", "files/run"]
    assert (there / "files/raw").read_bytes() == bytes(range(256))
    assert os.access(there / "files/run", os.X_OK) and not os.access(there / "files/raw", os.X_OK)


def test_what_has_its_name_is_on_the_disk(composition: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[str] = set()
    monkeypatch.setattr(os, "fsync", lambda handle: synced.add(os.readlink(f"/proc/self/fd/{handle}")))
    there = arrive(shipped.pack(str(composition)), tmp_path / "state")
    assert synced == {f"{there}.new/{path.relative_to(there)}" for path in there.rglob("*") if path.is_file()}


def test_the_same_content_is_unpacked_once(composition: Path, tmp_path: Path) -> None:
    packed = shipped.pack(str(composition))
    (composition / "composition.nix").touch()  # another time, the same content
    assert shipped.pack(str(composition)) == packed
    there = arrive(packed, tmp_path / "state")
    (there / "mark").touch()
    assert (arrive(packed, tmp_path / "state") / "mark").exists()


def test_another_content_has_another_place(composition: Path, tmp_path: Path) -> None:
    first = arrive(shipped.pack(str(composition)), tmp_path / "state")
    (composition / "composition.nix").write_text("{ a = 1; }")
    assert arrive(shipped.pack(str(composition)), tmp_path / "state") != first


def test_what_a_killed_run_left_half_unpacked_is_no_matter(composition: Path, tmp_path: Path) -> None:
    packed = shipped.pack(str(composition))
    half = tmp_path / "state" / packed.digest / "site.new"
    half.mkdir(parents=True)
    (half / "other").touch()
    there = arrive(packed, tmp_path / "state")
    assert (there / "composition.nix").exists() and not (there / "other").exists()


def test_too_much_is_refused(composition: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "LIMIT", 1024)
    with pytest.raises(InputError, match=r"/site has 0 MiB, more than the 0 MiB that are sent to another host"):
        shipped.pack(str(composition))
