"""What needs a real Nixpkgs, which is in the directory that the environment variable ``NIXPKGS`` names.

Nothing is built: it suffices that Nix can write every derivation.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "compositions/nfs-nixos"

#: Nix module → kind of initrd that it asks for.
INITRDS = {"systemd": "{ boot.initrd.systemd.enable = true; }", "scripted": "{ boot.initrd.systemd.enable = false; }"}


@pytest.fixture(scope="session")
def nixpkgs() -> str:
    path = os.environ.get("NIXPKGS", "")
    if not Path(path, "nixos/lib/eval-config.nix").is_file():
        pytest.fail("NIXPKGS must be the directory of a Nixpkgs: make test-nixpkgs NIXPKGS=/path/to/nixpkgs")
    return path


@pytest.fixture(scope="session", autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One Nix store for all tests: most of a system's derivations are those of the other systems."""
    path = tmp_path_factory.mktemp("nix")
    for variable, folder in {
        "STORE": "store",
        "STATE": "var",
        "LOCALSTATE": "var",
        "LOG": "log",
        "CONF": "etc",
    }.items():
        os.environ[f"NIX_{variable}_DIR"] = str(path / folder)


@pytest.fixture(params=INITRDS)
def example(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The example with one kind of initrd or the other."""
    directory = tmp_path / "nfs-nixos"
    directory.mkdir()
    (directory / "composition.nix").write_text(f"""
        arguments: let example = import {EXAMPLE}/composition.nix arguments; in example // {{
          roles = builtins.mapAttrs (_: role: {{ imports = [ role {INITRDS[request.param]} ]; }}) example.roles;
        }}
    """)
    return str(directory)


@pytest.fixture(params=["beegfs", "orangefs"])
def file_system(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A file system that is an example. The source of what Nixpkgs does not have is a directory without files."""
    directory, source = tmp_path / request.param, tmp_path / "source"
    shutil.copytree(ROOT / "compositions" / request.param, directory)
    source.mkdir()
    pinned = {"root": {"inputs": {"beegfs": "beegfs"}}, "beegfs": {"locked": {"type": "path", "path": str(source)}}}
    (directory / "flake.lock").write_text(json.dumps({"version": 7, "root": "root", "nodes": pinned}))
    return str(directory)
