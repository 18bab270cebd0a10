"""What a lock calls a package: its hash says what is in an image, its version what audits and people read of it."""

from __future__ import annotations

import json
import subprocess
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.builder import Debian
from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.claims import require_claims
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.lock import Lock, LockedPackage

from .conftest import Compose

HASH = "0" * 32
PACKAGE = LockedPackage("2:5.2~a-1", "all", "debian", "pool/main/h/hello/hello_5.2~a-1_all.deb", 1, "00")


@pytest.fixture
def deb(tmp_path: Path) -> str:
    """A package as it lies in a store."""
    (tmp_path / "hello/DEBIAN").mkdir(parents=True)
    fields = "Package: hello\nVersion: 2:5.2~a-1\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: a\n"
    (tmp_path / "hello/DEBIAN/control").write_text(fields)
    path = tmp_path / f"{HASH}-hello_5.2-a-1_all.deb"
    command = ["dpkg-deb", "--build", "--root-owner-group", str(tmp_path / "hello"), str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return str(path)


def lock(name: str = "hello", **changes: t.Any) -> Lock:
    return Lock("bookworm", "amd64", {name: replace(PACKAGE, **changes)}, {}, {})


def test_what_is_said_of_a_package_is_so(deb: str) -> None:
    require_claims(lock(), [deb, f"/nix/store/{HASH}-other_1_all.deb"], "lock")
    require_claims(lock(), [deb.replace(f"/{HASH}", f"/none/{HASH}")], "lock")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("hello", {"version": "99:1"}),
        ("hello", {"version": "99:5.2~a-1"}),
        ("hello", {"version": "5.2~a-1"}),
        ("openssl", {}),
        ("hello", {"architecture": "amd64"}),
    ],
)
def test_another_name_version_or_architecture_is_refused(deb: str, name: str, changes: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"compose.lock.json: packages are others .* is 'hello 2:5.2~a-1 all'"):
        require_claims(lock(name, **changes), [deb], "compose.lock.json")


def test_a_build_refuses_a_lock_with_another_version(debian: Debian, compose: Compose, tmp_path: Path) -> None:
    path = compose('{ ... }: { roles.proxy = { packages = [ "nginx-light" ]; }; }', lock="web")
    file = Path(path, "compose.lock.json")
    data = json.loads(file.read_text())
    true = data["packages"]["bash"]["version"]
    data["packages"]["bash"]["version"] = "99:1"
    data["roles"]["proxy"]["requested"] = ["nginx-light"]
    file.write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"'bash 99:1 amd64' is 'bash (.*) amd64'") as refused:
        debian.build(path, {}, ["proxy"], ["root"], str(tmp_path / "roots"))
    assert f"is 'bash {true} amd64'" in refused.value.message
