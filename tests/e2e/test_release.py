# SPDX-License-Identifier: GPL-3.0-or-later
"""`make release`, but for its upload: what is committed becomes a tarball that can be repeated, verified and used."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from installed import Installed
from lab import BIN, PATIENCE, ROOT

SIGNER = "Release test <release@example.org>"


class Checkout:
    """A clone with all that is here, committed, and a keyring of its own."""

    def __init__(self, directory: Path) -> None:
        subprocess.run([ROOT / "tests/tools/export.sh", directory / "clone"], check=True, capture_output=True)
        self.root = directory / "clone/ansible_collections/immutable/compose"
        self.keyring = directory / "keyring"
        self.keyring.mkdir(mode=0o700)
        self.commit("All")
        self.run("gpg", "--batch", "--passphrase", "", "--quick-generate-key", SIGNER, "default", "default", "never")

    def environment(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "GIT_", "PYTEST_"))
        }
        who = {f"GIT_{role}_{part}": "t@example.org" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
        return {**kept, **who, "PATH": f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin", "GNUPGHOME": str(self.keyring)}

    def run(self, *command: str, expect: int = 0) -> str:
        done = subprocess.run(
            command, cwd=self.root, env=self.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == expect, done.stdout
        return done.stdout

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)

    def make(self, directory: Path, expect: int = 0) -> str:
        return self.run(str(BIN / "python"), "tests/tools/release.py", "make", str(directory), expect=expect)

    def say(self, version: str, *fragments: dict[str, t.Any]) -> None:
        """Another version, with such changes."""
        galaxy = self.root / "galaxy.yml"
        lines = galaxy.read_text().splitlines()
        galaxy.write_text(
            "\n".join(f"version: {version}" if line.startswith("version:") else line for line in lines) + "\n"
        )
        for number, fragment in enumerate(fragments):
            (self.root / f"changelogs/fragments/new{number}.yml").write_text(yaml.safe_dump(fragment))
        self.commit(version)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Checkout]:
    checkout = Checkout(tmp_path_factory.mktemp("release"))
    yield checkout
    checkout.run("gpgconf", "--kill", "gpg-agent")


def test_without_a_key_there_is_no_release(checkout: Checkout, tmp_path: Path) -> None:
    keyring, checkout.keyring = checkout.keyring, tmp_path
    refused = checkout.make(tmp_path / "dist", expect=1)
    checkout.keyring = keyring
    assert "no release: GPG's keyring has no secret key at all, and a release is signed. Make one: gpg" in refused
    assert not (tmp_path / "dist").exists()


def test_what_is_not_committed_is_in_no_release(checkout: Checkout, tmp_path: Path) -> None:
    (checkout.root / "plugins/half.py").touch()
    refused = checkout.make(tmp_path / "dist", expect=1)
    (checkout.root / "plugins/half.py").unlink()
    assert "no release: what is not committed is in no release:\n?? plugins/half.py" in refused
    assert not (tmp_path / "dist").exists()


@pytest.fixture(scope="module")
def dist(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    said = checkout.make(directory)
    assert "built twice, the same both times, SHA-256 " in said
    return directory


def tarball_in(directory: Path) -> Path:
    (path,) = directory.glob("*.tar.gz")
    return path


def test_another_clone_makes_the_same(checkout: Checkout, dist: Path, tmp_path: Path) -> None:
    mine, checkout.root = checkout.root, tmp_path / "other"
    try:
        subprocess.run(["git", "clone", "--quiet", mine, checkout.root], check=True)
        checkout.make(tmp_path / "dist")
    finally:
        checkout.root = mine
    assert tarball_in(tmp_path / "dist").read_bytes() == tarball_in(dist).read_bytes()
    sboms = [next(directory.glob("*.cdx.json")).read_bytes() for directory in (dist, tmp_path / "dist")]
    assert sboms[0] == sboms[1]


def test_the_signature_is_verified_by_ansible_galaxy(checkout: Checkout, dist: Path, tmp_path: Path) -> None:
    tarball, installed = tarball_in(dist), Installed(tmp_path / "collections")
    public = tmp_path / "public.kbx"
    exported = checkout.run("gpg", "--armor", "--export")
    (tmp_path / "key.asc").write_text(exported)
    checkout.run("gpg", "--no-default-keyring", "--keyring", str(public), "--import", str(tmp_path / "key.asc"))
    installed.run(
        "ansible-galaxy", "collection", "install", "--offline", "-p", "collections", str(tarball), cwd=tmp_path
    )
    signature = Path(f"{tarball}.asc")
    verify = ("ansible-galaxy", "collection", "verify", "--offline", "-p", "collections", "--keyring", str(public))
    enough = ("--required-valid-signature-count", "+1", "immutable.compose")
    verified = installed.run(*verify, "--signature", f"file://{signature}", *enough, cwd=tmp_path)
    assert "Successfully verified that checksums for 'immutable.compose:" in verified
    (installed.collections / "ansible_collections/immutable/compose/README.md").write_text("of somebody else\n")
    refused = installed.run(*verify, "--signature", f"file://{signature}", *enough, cwd=tmp_path, expect=1)
    assert "modified content in the following files" in refused
    changed = tmp_path / "changed.asc"
    changed.write_text(checkout.run("gpg", "--armor", "--detach-sign", "--output", "-", str(tarball)))
    refused = installed.run(*verify, "--signature", f"file://{changed}", *enough, cwd=tmp_path, expect=1)
    assert "Signature verification failed for 'immutable.compose': no successful signatures" in refused


def test_the_sbom_names_the_tarball_and_what_it_needs(dist: Path) -> None:
    (path,) = dist.glob("*.cdx.json")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(path.read_text()) is None
    bom = json.loads(path.read_text())
    assert bom["metadata"]["component"]["name"] == "immutable.compose"
    needed = {component["name"]: component["version"] for component in bom["components"]}
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, lowest = line.split()[0].split(">=")
            assert needed[name] == f">={lowest}"


def test_the_changelog_has_the_version(checkout: Checkout, dist: Path) -> None:
    version = yaml.safe_load((checkout.root / "galaxy.yml").read_text())["version"]
    assert f"## v{version}" in (dist / "CHANGELOG.md").read_text().replace("\\", "")
    assert version in yaml.safe_load((dist / "changelog.yaml").read_text())["releases"]


def test_the_readme_s_lines_work_with_the_tarball_alone(checkout: Checkout, dist: Path) -> None:
    said = checkout.run(str(BIN / "python"), "tests/tools/release.py", "try", str(tarball_in(dist)))
    assert "release 1" in said and "installed and used as the README says" in said


def test_a_version_says_what_has_changed(checkout: Checkout, dist: Path, tmp_path: Path) -> None:
    """The last one: the checkout goes on to other versions."""
    for name, place in (("CHANGELOG.md", "."), ("changelog.yaml", "changelogs")):
        shutil.copy(dist / name, checkout.root / place)
    for path in (checkout.root / "changelogs/fragments").iterdir():
        path.unlink()
    checkout.say("0.1.1", {"minor_changes": ["something - can be done now."]})
    assert (
        "version is 0.1.1, but after 0.1.0" in (said := checkout.make(tmp_path / "dist", expect=1))
        and "want 0.2.0" in said
    )
    checkout.say("0.2")
    assert "version is '0.2', expected MAJOR.MINOR.PATCH" in checkout.make(tmp_path / "dist", expect=1)
    assert not (tmp_path / "dist").exists()
    checkout.say("0.2.0")
    checkout.make(tmp_path / "dist")
    assert tarball_in(tmp_path / "dist").name == "immutable-compose-0.2.0.tar.gz"
