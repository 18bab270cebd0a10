"""The program of a node that gives data volumes their owners, and empties those that are not kept."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .conftest import REPOSITORY

PROGRAMS = REPOSITORY / "nix/debian/image/usr/lib/compose"


def boot(directory: Path, table: str, before: str = "") -> None:
    """Run the program with this table of volumes, in a mount namespace in which something was done before."""
    program = (PROGRAMS / "own-volumes").read_text()
    (directory / "volumes").write_text(table)
    program = program.replace("/usr/lib/compose/renumber", str(PROGRAMS / "renumber"))
    program = program.replace("/usr/lib/compose/volumes", str(directory / "volumes"))
    (directory / "own-volumes").write_text(program)
    command = ["unshare", "--mount", "sh", "-euc", f"{before}\nexec sh {directory}/own-volumes"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def fill(volume: Path) -> None:
    for path in ("file", ".hidden", "directory/file", "-name"):
        (volume / path).parent.mkdir(exist_ok=True, parents=True)
        (volume / path).write_text(path)
    (volume / "empty" / "empty").mkdir(parents=True)
    (volume / "link").symlink_to(volume.parent)


def test_what_is_not_kept_is_emptied_at_each_boot(tmp_path: Path) -> None:
    kept, scratch = tmp_path / "kept", tmp_path / "scratch"
    fill(kept)
    fill(scratch)
    table = f"kept\t{kept}\tbin\tbin\t0750\ttrue\nscratch\t{scratch}\tbin\tbin\t1777\tfalse\n"
    for _boot in range(2):
        boot(tmp_path, table)
        assert [path.name for path in scratch.iterdir()] == [".compose-numbers"]
        assert {"file", ".hidden", "directory", "-name", "empty", "link"} < {path.name for path in kept.iterdir()}
        (scratch / "file").write_text("of this boot")
    assert (scratch.stat().st_mode & 0o7777, kept.stat().st_mode & 0o7777) == (0o1777, 0o750)
    assert scratch.stat().st_uid == kept.stat().st_uid == 2


def test_what_is_mounted_below_is_another_volume(tmp_path: Path) -> None:
    scratch, other = tmp_path / "scratch", tmp_path / "other"
    fill(scratch)
    fill(other)
    table = f"scratch\t{scratch}\troot\troot\t0755\tfalse\nother\t{scratch}/directory\troot\troot\t0755\ttrue\n"
    boot(tmp_path, table, f"mount --bind {other} {scratch}/directory")
    assert (other / "directory/file").read_text() == "directory/file"
    assert {path.name for path in scratch.iterdir()} == {".compose-numbers", "directory"}
