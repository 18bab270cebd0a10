"""Binary caches: what is signed by a trusted key is fetched, all else is built here or refused."""

from __future__ import annotations

import os
import socket
import subprocess
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.nix.log import BuildLog
from ansible_collections.immutable.compose.plugins.module_utils.builders.nix.nix import Nix, NixBuildError
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import write_build

#: The builds are run by this host's shell; a server that is not there is asked once.
SETTINGS = {"sandbox": "false", "filter-syscalls": "false", "download-attempts": "1", "connect-timeout": "5"}
NO_BUILDS = ("--max-jobs", "0")


@dataclass
class Lab:
    """A derivation that was built and copied to a cache, and is in the store no more."""

    directory: Path
    derivation: str = ""
    path: str = ""

    @property
    def cache(self) -> str:
        return f"file://{self.directory}/cache"

    def key(self, name: str) -> tuple[str, str]:
        """A pair of keys: file with the secret one, text of the public one."""
        secret, public = self.directory / f"{name}.secret", self.directory / f"{name}.public"
        if not secret.exists():
            command = ["nix-store", "--generate-binary-cache-key", name, str(secret), str(public)]
            subprocess.run(command, check=True, timeout=60)
        return str(secret), public.read_text().strip()

    def nix(self, **settings: str) -> Nix:
        return Nix(Progress(), {**SETTINGS, **settings})

    def trusting(self, name: str, cache: str = "") -> Nix:
        settings = {"extra-substituters": cache or self.cache, "extra-trusted-public-keys": self.key(name)[1]}
        return self.nix(**settings)

    def realise(self, nix: Nix, *options: str) -> None:
        assert nix.realise([self.derivation], BuildLog(Progress(), str), lambda: "", *options) == [self.path]

    def builds(self) -> int:
        """How many times the builder has run."""
        return (self.directory / "builds").read_text().count("built")

    def push(self, signing_key: str) -> None:
        """Copy to the cache, and remove from the store."""
        self.nix().push([self.path], self.cache, signing_key)
        subprocess.run(["nix-store", "--delete", self.path], check=True, timeout=60, capture_output=True)
        assert not os.path.exists(self.path)


@pytest.fixture
def lab(tmp_path: Path, own_store: Path) -> Lab:
    made = Lab(tmp_path)
    content = "".join(f"line {number}\n" for number in range(2000))
    (tmp_path / "content").write_text(content)
    file = write_build(tmp_path, f"echo built >> {tmp_path}/builds; read -r x < {tmp_path}/content; echo $x > $out")
    (made.derivation,) = made.nix().instantiate(file, ["a"], {})
    (made.path,) = made.nix().outputs([made.derivation])
    made.realise(made.nix())
    assert made.builds() == 1
    return made


def kind_of(error: pytest.ExceptionInfo[t.Any]) -> str:
    assert error.value.failure is not None, str(error.value)
    return str(error.value.failure.kind)


def test_what_a_trusted_key_signed_is_fetched(lab: Lab) -> None:
    lab.push(lab.key("lab-1")[0])
    lab.realise(lab.trusting("lab-1"), *NO_BUILDS)
    assert lab.builds() == 1
    assert Path(lab.path).read_text() == "line 0\n"


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed by a key that is not trusted"])
def test_what_no_trusted_key_signed_is_not_fetched(lab: Lab, signed: bool) -> None:
    lab.push(lab.key("other-1")[0] if signed else "")
    with pytest.raises(NixBuildError) as error:
        lab.realise(lab.trusting("lab-1"), *NO_BUILDS)
    assert kind_of(error) == "cache-unsigned"
    lab.realise(lab.trusting("lab-1"))
    assert lab.builds() == 2


def test_a_signature_that_does_not_fit_is_none(lab: Lab) -> None:
    lab.push(lab.key("lab-1")[0])
    (info,) = (lab.directory / "cache").glob("*.narinfo")
    text = info.read_text()
    size = next(line for line in text.splitlines() if line.startswith("NarSize: "))
    info.write_text(text.replace(size, "NarSize: 4711"))
    with pytest.raises(NixBuildError) as error:
        lab.realise(lab.trusting("lab-1"), *NO_BUILDS)
    assert kind_of(error) == "cache-unsigned"
    assert lab.builds() == 1


def test_content_that_was_changed_is_found(lab: Lab) -> None:
    lab.nix().push([lab.path], f"{lab.cache}?compression=none", lab.key("lab-1")[0])
    subprocess.run(["nix-store", "--delete", lab.path], check=True, timeout=60, capture_output=True)
    (archive,) = (lab.directory / "cache/nar").iterdir()
    archive.write_bytes(archive.read_bytes().replace(b"line 0", b"line 1"))
    with pytest.raises(NixBuildError) as error:
        lab.realise(lab.trusting("lab-1"), *NO_BUILDS)
    assert kind_of(error) == "cache-damaged"
    assert not lab.nix().is_valid([lab.path])


def test_an_archive_that_was_cut_off_is_found(lab: Lab) -> None:
    lab.push(lab.key("lab-1")[0])
    (archive,) = (lab.directory / "cache/nar").iterdir()
    archive.write_bytes(archive.read_bytes()[:-20])
    with pytest.raises(NixBuildError) as error:
        lab.realise(lab.trusting("lab-1"), *NO_BUILDS)
    assert kind_of(error) == "cache-damaged"
    assert not lab.nix().is_valid([lab.path])


def test_a_cache_that_is_not_there_is_told_or_done_without(lab: Lab) -> None:
    lab.push(lab.key("lab-1")[0])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and not listened on
        nix = lab.trusting("lab-1", f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(NixBuildError) as error:
            lab.realise(nix, *NO_BUILDS)
        assert kind_of(error) == "cache-unreachable"
        lab.realise(nix)
    assert lab.builds() == 2


def test_a_cache_that_cannot_be_written_to_is_told(lab: Lab) -> None:
    (lab.directory / "cache").write_text("a file in its place")
    with pytest.raises(ComposeError, match=r"cache"):
        lab.nix().push([lab.path], lab.cache, lab.key("lab-1")[0])


def test_a_signing_key_that_is_not_there_is_refused(lab: Lab) -> None:
    with pytest.raises(InputError, match="signing_key: /nonexistent is not a file"):
        lab.nix().push([lab.path], lab.cache, "/nonexistent")
    assert not (lab.directory / "cache").exists()
