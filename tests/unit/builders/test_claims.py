"""What a lock calls a package: its hash says what is in an image, its version what audits and people read of it."""

from __future__ import annotations

import json
import subprocess
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.builder import Debian
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError

from .conftest import Compose

CHECK = Path(__file__).parents[3] / "nix" / "debian" / "build" / "claims.sh"


@pytest.fixture
def deb(tmp_path: Path) -> str:
    """A package."""
    (tmp_path / "hello/DEBIAN").mkdir(parents=True)
    fields = "Package: hello\nVersion: 2:5.2~a-1\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: a\n"
    (tmp_path / "hello/DEBIAN/control").write_text(fields)
    path = tmp_path / "hello.deb"
    command = ["dpkg-deb", "--build", "--root-owner-group", str(tmp_path / "hello"), str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return str(path)


def require_claims(directory: Path, *claims: str, debs: t.Sequence[str]) -> subprocess.CompletedProcess[str]:
    file = directory / "claims"
    file.write_text("".join(f"{claim}\n" for claim in claims))
    command = ["sh", "-euc", f'. {CHECK}; require_claims "$@"', "sh", str(file), *debs]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_is_said_of_packages_is_so(deb: str, tmp_path: Path) -> None:
    claim = "hello 2:5.2~a-1 all"
    assert require_claims(tmp_path, claim, claim, debs=[deb, deb]).returncode == 0
    assert require_claims(tmp_path, debs=[]).returncode == 0


@pytest.mark.parametrize(
    "claim",
    ["hello 99:1 all", "hello 99:5.2~a-1 all", "hello 5.2~a-1 all", "openssl 2:5.2~a-1 all", "hello 2:5.2~a-1 amd64"],
)
def test_another_name_version_or_architecture_is_refused(deb: str, claim: str, tmp_path: Path) -> None:
    done = require_claims(tmp_path, "hello 2:5.2~a-1 all", claim, claim, debs=[deb, deb, deb])
    assert done.returncode == 1
    wrong = f"'{claim}' is 'hello 2:5.2~a-1 all'"
    assert done.stderr == f"packages are others than the lock says: {wrong}; {wrong}\n"


@pytest.mark.parametrize("package", ["bash", "squashfs-tools", "nginx-light"])
def test_a_build_refuses_a_lock_with_another_version(
    debian: Debian, compose: Compose, tmp_path: Path, package: str
) -> None:
    path = compose('{ ... }: { roles.proxy = { packages = [ "nginx-light" ]; }; }', lock="web")
    file = Path(path, "compose.lock.json")
    data = json.loads(file.read_text())
    true = data["packages"][package]["version"]
    data["packages"][package]["version"] = "99:1"
    data["roles"]["proxy"]["requested"] = ["nginx-light"]
    file.write_text(json.dumps(data))
    with pytest.raises(
        InputError, match=rf"lock.json: packages differ .* '{package} 99:1 \w+' is '{package} (.*) \w+'"
    ) as refused:
        debian.build(path, {}, ["proxy"], ["root"], str(tmp_path / "roots"))
    assert f"is '{package} {true} " in refused.value.message
