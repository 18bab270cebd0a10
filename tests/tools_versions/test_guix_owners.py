"""What a node of the builder guix does with its data volumes: a Guile program, on directories in place of volumes."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t
from pathlib import Path

import pytest

from .conftest import ROOT

Numbers = t.Mapping[str, int]


class Volume:
    """A directory that stands for a volume of the user ``redis``."""

    def __init__(self, top: Path) -> None:
        self.top = top

    def add(self, name: str, number: int) -> None:
        (self.top / name).write_text(name)
        os.chown(self.top / name, number, number)

    def boot(self, refused: str = "", keep: str = "#t", **names: int) -> None:
        """With these users, and groups of the same names."""
        both = {"root": 0, **names}
        entries = " ".join(f'("{kind}" "{name}" {both[name]})' for kind in ("user", "group") for name in both)
        call = (
            f'(use-modules (compose owners)) (own-volume {json.dumps(str(self.top))} "redis" "redis" "0750" {keep} '
            f"#:now '({entries}) #:others (list {json.dumps(str(self.top / 'other'))}))"
        )
        command = [str(ROOT / "tests/tools/chroot_enter.sh"), "sid"]
        command += ["guile", "--no-auto-compile", "-L", str(ROOT / "nix/guix"), "-c", call]
        environment = {"SHARE": f"/tmp {ROOT}", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode != 0) is bool(refused), done.stderr
        assert refused in done.stderr

    def owner(self, name: str = ".") -> int:
        return (self.top / name).stat().st_uid


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path)


def test_a_volume_is_given_to_its_user_and_nothing_in_it(volume: Volume) -> None:
    volume.boot(redis=990, bob=1000)
    volume.add("of-bob", 1000)
    volume.boot(redis=990, bob=1000, alice=1001)
    assert (volume.owner(), volume.owner("of-bob")) == (990, 1000)
    assert volume.top.stat().st_mode & 0o777 == 0o750
    record = (volume.top / ".compose-numbers").read_text()
    assert "user bob 1000\n" in record
    assert "group alice 1001\n" in record


def test_other_numbers_are_refused(volume: Volume) -> None:
    volume.boot(redis=990, bob=1000)
    volume.boot(redis=989, bob=1000, refused="redis is 989, and had 990 when the data were made")
    volume.boot(redis=990, alice=1000, refused="alice, and was bob when the data were made")
    assert volume.owner() == 990
    volume.boot(redis=990)
    volume.boot(redis=990, alice=1000, refused="alice, and was bob")
    volume.boot(redis=990, bob=1000, alice=1001)


def test_data_of_nobody_are_refused(volume: Volume) -> None:
    volume.boot(redis=990)
    volume.add("of-a-client", 1000)
    volume.boot(redis=990, alice=1000, refused="of-a-client belongs to a number whose name nobody has kept")


def test_without_a_record_the_owner_tells(volume: Volume) -> None:
    volume.add("data", 991)
    os.chown(volume.top, 991, 991)
    volume.boot(redis=990, refused="belongs to 991, and redis is 990")
    volume.boot(redis=991)


def test_what_others_could_have_written_says_nothing(volume: Volume) -> None:
    volume.add(".compose-numbers", 1000)
    volume.boot(redis=990)
    assert volume.owner(".compose-numbers") == 0


def test_what_is_not_kept_is_emptied(volume: Volume) -> None:
    volume.boot(redis=990)
    for directory in ("directory", "other"):
        (volume.top / directory).mkdir()
        volume.add(f"{directory}/of-a-client", 1000)
    volume.boot(redis=989, alice=1000, keep="#f")
    assert {path.name for path in volume.top.iterdir()} == {".compose-numbers", "other"}
    assert (volume.owner(), volume.owner("other/of-a-client")) == (989, 1000)
