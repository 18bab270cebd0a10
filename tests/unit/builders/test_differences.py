# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a second build that differs from the first."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.immutable.compose.plugins.module_utils.builders.differences import listed, told


def test_many_paths_are_counted() -> None:
    assert listed(["/a", "/b"]) == "/a, /b"
    assert listed([f"/{number}" for number in range(23)]).endswith("/19 and 3 more")


def test_paths_that_differ(tmp_path: Path) -> None:
    one, two = tmp_path / "out", tmp_path / "out.check"
    for directory in (one, two):
        (directory / "etc").mkdir(parents=True)
        (directory / "etc/same").write_text("same")
        (directory / "etc/content").write_text(directory.name)
        (directory / "mode").touch(0o644 if directory == one else 0o755)
        (directory / "link").symlink_to(directory.name)
        (directory / "kind").mkdir() if directory == one else (directory / "kind").touch()
    (one / "gone").mkdir()
    (two / "new").symlink_to("nowhere")
    says = f"error: derivation '/x.drv' may not be deterministic: output '{one}' differs from '{two}'"
    assert told(f"first\n{says}\n{says}") == f"{says}: /etc/content, /gone, /kind, /link, /mode, /new"


def test_paths_are_found_in_whatever_quotes(tmp_path: Path) -> None:
    for name in ("out", "out.check", "out-check"):
        (tmp_path / name).mkdir()
    (tmp_path / "out/file").touch()
    for says in (
        "output '{}' differs from '{}.check'",
        'output "{}" differs from "{}.check"',
        "output `{}' differs from \u2018{}-check\u2019",
    ):
        assert told("may not be deterministic: " + says.format(*[tmp_path / "out"] * 2)).endswith(": /file")


def test_one_file_has_no_paths(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("one")
    (tmp_path / "out-check").write_text("two")
    outputs = f"output `{tmp_path}/out' differs from \u2018{tmp_path}/out-check\u2019"
    says = f"derivation `/x.drv' may not be deterministic: {outputs}"
    assert told(says) == says


def test_only_what_was_kept_beside_an_output_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/file").touch()
    (tmp_path / "empty").mkdir()
    says = f"may not be deterministic: output '{tmp_path}/empty' differs from '{tmp_path}/secret'"
    assert told(says) == says
    assert told("error: another failure") == ""
