"""What of an image each node must have for itself: found by who may read it, and by what is in it."""

from __future__ import annotations

import hashlib
import subprocess
import typing as t
from pathlib import Path

import pytest

from .conftest import REPOSITORY

KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvgIBADANBgkqhkiG9w0BAQ"
#: Path → mode, content. One package has the program and the template.
TREE = {
    "usr/lib/our/check.py": (0o644, KEY),
    "usr/share/our/template": (0o644, "as it comes"),
    "usr/lib/our/__pycache__/check.cpython-311.pyc": (0o644, KEY),
    "usr/lib/our/__pycache__/other.cpython-311.pyc": (0o644, KEY),
    "etc/shadow": (0o640, "root:*"),
    "etc/our/copy": (0o640, "as it comes"),
    "etc/our/own-copy": (0o600, "as it comes"),
    "etc/our/password": (0o640, "random"),
    "etc/our/key": (0o600, "random"),
    "etc/our/public": (0o644, "random"),
    "etc/our/empty": (0o600, ""),
    "etc/our/kept": (0o640, "random"),
}

Private = t.Callable[[str], set[str]]


@pytest.fixture
def private(tmp_path: Path) -> Private:
    """Paths that are found: in a layer of packages, or in a role that is made of this one."""
    root = tmp_path / "build/root"
    for path, (mode, content) in TREE.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
        (root / path).chmod(mode)
    info = root / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    packaged = [path for path in TREE if path in ("usr/lib/our/check.py", "usr/share/our/template")]
    (info / "our.list").write_text("".join(f"/{path}\n" for path in packaged))
    sums = [f"{hashlib.md5(TREE[path][1].encode()).hexdigest()}  {path}\n" for path in packaged]
    (info / "our.md5sums").write_text("".join(sums))
    (tmp_path / "config").write_text('{"generated": {"/etc/our/kept": {"keep": true}}}')
    (tmp_path / "build/below").write_text("detc\0detc/our\0fetc/our/key\0")
    text = (REPOSITORY / "nix/debian/build/generated.sh").read_text().replace("/build/", f"{tmp_path}/build/")
    (tmp_path / "generated").write_text(text)

    def run(layer: str) -> set[str]:
        settings = f"root={root} config={tmp_path}/config layer={layer}"
        script = f"set -euo pipefail; {settings}; . {tmp_path}/generated; list_private"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=60)
        assert done.stderr == ""
        return {line.split("\t")[0] for line in done.stdout.splitlines()}

    return run


def test_packages_give_keys_to_groups_and_copies_are_none(private: Private) -> None:
    assert private("") == {
        "/etc/our/key",
        "/etc/our/password",
        "/usr/lib/our/__pycache__/other.cpython-311.pyc",
    }


def test_of_scripts_of_the_role_what_only_the_owner_may_read(private: Private, tmp_path: Path) -> None:
    assert private("layer") == {"/etc/our/key", "/usr/lib/our/__pycache__/other.cpython-311.pyc"}
    (tmp_path / "build/below").write_text("fetc/our/password\0")
    assert private("layer") == {
        "/etc/our/key",
        "/etc/our/password",
        "/usr/lib/our/__pycache__/other.cpython-311.pyc",
    }
