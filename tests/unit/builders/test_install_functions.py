"""Of packages that cannot be installed, who is to blame is told."""

from __future__ import annotations

import subprocess
import typing as t
from pathlib import Path

import pytest
from debs import write_deb

from .conftest import REPOSITORY

Install = t.Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Runs `install` of the library with dpkg's own idea of another root directory."""
    root = tmp_path / "build/root"
    (root / "var/lib/dpkg").mkdir(parents=True)
    for file in ("status", "available"):
        (root / "var/lib/dpkg" / file).touch()
    library = (REPOSITORY / "nix/debian/build/library.sh").read_text().replace("/build/", f"{tmp_path}/build/")
    (tmp_path / "library").write_text(
        f'{library}\nphase() {{ :; }}\nin_root() {{ shift; dpkg --root={root} --force-script-chrootless "$@"; }}\n'
    )

    def run(*packages: Path) -> subprocess.CompletedProcess[str]:
        text = f'set -euo pipefail; NIX_STORE=/nix/store; . {tmp_path}/library; install "$@"'
        command = ["bash", "-c", text, "bash", *map(str, packages)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    return run


def test_only_who_fails_itself_is_told(install: Install, tmp_path: Path) -> None:
    packages = [write_deb(tmp_path / f"{number}.deb", package=f"a{number}", depends="bad") for number in range(9)]
    bad = write_deb(tmp_path / "bad.deb", "echo what is wrong; exit 3", package="bad")
    done = install(*packages, bad)
    assert done.returncode != 0
    told = done.stderr[done.stderr.index("what bad said:") :]
    assert "what is wrong" in told and " said:\n" in told and "what a1 said" not in done.stderr
