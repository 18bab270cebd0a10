"""The real ``ansible-inventory`` on a directory with a deployment file and a composition."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent

COMPOSITION: dict[str, t.Any] = {
    "schema": "immutable.compose/composition/1",
    "name": "nfs",
    "builder": "debian",
    "path": "/evaluated/elsewhere",
    "digest": "0",
    "roles": {"server": {"name": "server"}, "node": {"name": "node"}},
}
DEPLOYMENT = """
plugin: immutable.compose.composition
composition: ../nfs/composition.json
platform: qemu
"""


@dataclass
class Listed:
    """What a program left behind."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def data(self) -> dict[str, t.Any]:
        """The listing; there must have been no error, warning or deprecation."""
        assert (self.returncode, self.stderr) == (0, "")
        data: dict[str, t.Any] = json.loads(self.stdout)
        return data

    @property
    def message(self) -> str:
        """What was said with the refusal."""
        assert self.returncode != 0, self.stdout
        return self.stderr


@dataclass
class Site:
    """An inventory directory, and next to it the composition ``nfs``, with roles in its ``composition.json`` only."""

    directory: Path
    composition: Path

    def write(self, more: str = "", file: str = "demo.compose.yml", **composition: t.Any) -> Path:
        """A deployment file: the least one and ``more``; and what its composition.json has, besides the least."""
        (self.composition / "composition.nix").write_text("{ ... }: { roles = { }; }")
        (self.composition / "composition.json").write_text(json.dumps({**COMPOSITION, **composition}))
        source = self.directory / file
        # What somebody has deployed on this computer under the same name must make no difference.
        state = "" if "state_dir" in more else "state_dir: ../state\n"
        source.write_text(DEPLOYMENT + state + more)
        return source

    def run(self, program: str, *arguments: str | Path, **env: str) -> Listed:
        """One of Ansible's programs, far from every ansible.cfg."""
        done = subprocess.run(
            [str(BIN / program), *map(str, arguments)],
            cwd=self.directory,
            env={
                "HOME": str(self.directory),
                "PATH": os.environ["PATH"],
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "collections"),
                "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
                "ANSIBLE_NOCOLOR": "true",
                **env,
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Listed(done.returncode, done.stdout, done.stderr)

    def list(self, *sources: str | Path, **env: str) -> Listed:
        """``ansible-inventory --list --export``."""
        options = [word for source in sources for word in ("-i", source)]
        return self.run("ansible-inventory", *options, "--list", "--export", **env)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An empty inventory directory."""
    site = Site(tmp_path / "inventory", tmp_path / "nfs")
    site.directory.mkdir()
    site.composition.mkdir()
    return site
