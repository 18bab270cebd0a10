"""Packages are a layer of their own: what else a role has does not install them again, and roles share them."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.builder import BUILD_FACTOR, Debian
from ansible_collections.immutable.compose.plugins.module_utils.builders.nix.nix import NixBuildError

from .conftest import Compose

ROLE = """{{
  packages = [ "nginx-light" ];
  debconf = [ "test test/run string {run}" {answers} ];
  files."/etc/motd".text = "{motd}";
  units."own.service".text = "[Service]\\nExecStart=/bin/{program}\\n";
  users = {{ {users} }};
  postInstall = "echo +@staff >> /etc/passwd";
}}"""


#: What is asked of the store was in it for no earlier test.
RUN = uuid.uuid4()


def role(motd: str = "one", *, answers: str = "", users: str = "", program: str = "true") -> str:
    return ROLE.format(run=RUN, motd=motd, answers=answers, users=users, program=program)


class Site:
    """A composition with the roles a and b, which are locked alike."""

    def __init__(self, compose: Compose, debian: Debian, directory: Path, progress: Path) -> None:
        self._compose, self._debian, self._progress = compose, debian, progress
        self._roots = str(directory / "roots")
        self._lock = Path(compose("{ }", lock="web"), "compose.lock.json")
        content = json.loads(self._lock.read_text())
        content["roles"] = dict.fromkeys("ab", content["roles"]["proxy"])
        self._lock.write_text(json.dumps(content))

    def drop(self, package: str) -> None:
        """Take a package out of the lock."""
        content = json.loads(self._lock.read_text())
        for locked in content["roles"].values():
            locked["packages"].remove(package)
        self._lock.write_text(json.dumps(content))

    def build(self, **roles: str) -> list[str]:
        """What was said while these were built."""
        path = self._compose("{ ... }: { " + "".join(f"roles.{name} = {text};" for name, text in roles.items()) + "}")
        self._progress.write_text("")
        self._debian.build(path, {}, list(roles), ["root"], self._roots)
        return self._progress.read_text().splitlines()


@pytest.fixture
def site(compose: Compose, debian: Debian, tmp_path: Path, progress: Path) -> Site:
    return Site(compose, debian, tmp_path, progress)


def installed(said: list[str]) -> list[str]:
    """Whose packages were installed."""
    return [line.split(": ")[0] for line in said if line.endswith(": installing packages")]


def test_packages_are_installed_once(site: Site) -> None:
    assert installed(site.build(a=role(), b=role("two"))) == ["build a, b"]
    for other in (role("three"), role(users="carol = { };"), role(program="false")):
        said = site.build(a=other)
        assert installed(said) == []
        assert "build a: packing" in said
    assert installed(site.build(a=role(answers='"nginx nginx/log-symlinks note"'))) == ["build a"]


def test_who_has_the_packages_that_fail(site: Site) -> None:
    site.drop("nginx-common")
    with pytest.raises(NixBuildError) as failed:
        site.build(a=role(), b=role("two"))
    assert "nginx-light" in failed.value.message
    assert "\nthe whole log: nix-store --read-log /nix/store/" in failed.value.message
    assert failed.value.message.endswith("-debian-packages has the packages of roles.a, roles.b")


def test_builds_reckon_with_the_space_that_the_builder_reckons_with() -> None:
    library = Path(__file__).parents[3] / "nix" / "debian" / "build" / "library.sh"
    assert f"SPACE_FACTOR={BUILD_FACTOR}\n" in library.read_text()
