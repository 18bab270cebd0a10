"""The program of a node that gives data the numbers of their owners, killed or not."""

from __future__ import annotations

import os
import random
import signal
import struct
import subprocess
import time
import typing as t
from pathlib import Path

import pytest

from .conftest import REPOSITORY

PROGRAM = REPOSITORY / "nix/debian/image/usr/lib/compose/renumber"
RECORD, MOVING = ".compose-numbers", ".compose-numbers.moving"

Numbers = t.Mapping[str, int]


class Volume:
    """A directory in place of a volume, and of the image that mounts it."""

    def __init__(self, root: Path) -> None:
        self.top = root / "volume"
        self.top.mkdir()
        self.etc = root / "etc"
        self.etc.mkdir()

    def add(self, name: str, number: int) -> Path:
        path = self.top / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(name)
        os.chown(path, number, number)
        return path

    def start(self, users: Numbers, groups: Numbers | None = None, owner: str = "root") -> subprocess.Popen[str]:
        for file, names in (("passwd", users), ("group", users if groups is None else groups)):
            lines = [f"{name}:x:{number}:{number}::/:/bin/sh\n" for name, number in {"root": 0, **names}.items()]
            (self.etc / file).write_text("".join(lines))
        command = [PROGRAM, "volume", self.top, self.etc, owner, owner]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def boot(self, users: Numbers, groups: Numbers | None = None, owner: str = "root", refused: str = "") -> str:
        """What it says."""
        process = self.start(users, groups, owner)
        said, wrong = process.communicate(timeout=60)
        assert (process.returncode != 0) is bool(refused), said + wrong
        assert refused in wrong
        return said

    def owners(self) -> dict[str, tuple[int, int]]:
        files = [path for path in self.top.rglob("*") if not path.is_dir() and not path.name.startswith(".compose")]
        return {str(path.relative_to(self.top)): (path.lstat().st_uid, path.lstat().st_gid) for path in files}


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path)


def test_data_stay_with_whoever_has_the_name(volume: Volume) -> None:
    volume.boot({"bob": 1000, "carol": 1001})
    volume.add("bob/key", 1000)
    volume.add("carol/key", 1001)
    said = volume.boot({"alice": 1000, "bob": 1001, "carol": 1002})
    assert "what belongs to the user bob has the number 1001, it was 1000" in said
    assert volume.owners() == {"bob/key": (1001, 1001), "carol/key": (1002, 1002)}
    volume.add("alice/key", 1000)
    # Back again, where there is no alice: nobody gets what is hers, until she is there again.
    volume.boot({"bob": 1000, "carol": 1001})
    owners = volume.owners()
    assert owners.pop("alice/key")[0] not in (1000, 1001)
    assert owners == {"bob/key": (1000, 1000), "carol/key": (1001, 1001)}
    volume.boot({"alice": 1000, "bob": 1001, "carol": 1002})
    assert volume.owners() == {"alice/key": (1000, 1000), "bob/key": (1001, 1001), "carol/key": (1002, 1002)}
    assert (volume.top / RECORD).stat().st_mode & 0o777 == 0o600


def test_links_modes_and_lists_go_along(volume: Volume) -> None:
    volume.boot({"bob": 1000}, {"bob": 1000})
    program = volume.add("program", 1000)
    program.chmod(0o6755)
    os.setxattr(program, "security.capability", struct.pack("<IIIII", 0x02000001, 0x2000, 0, 0, 0))
    os.link(program, volume.top / "again")
    (volume.top / "link").symlink_to("/etc/passwd")
    os.chown(volume.top / "link", 1000, 1000, follow_symlinks=False)
    entries = [(1, 6, 2**32 - 1), (2, 6, 1000), (4, 0, 2**32 - 1), (8, 4, 1000), (16, 6, 2**32 - 1), (32, 0, 2**32 - 1)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    listed = volume.add("listed", 0)
    os.setxattr(listed, "system.posix_acl_access", acl)
    volume.boot({"bob": 1001}, {"bob": 1002})
    assert set(volume.owners().values()) == {(1001, 1002), (0, 0)}
    assert program.stat().st_mode & 0o7777 == 0o6755
    assert os.getxattr(program, "security.capability")
    found = os.getxattr(listed, "system.posix_acl_access")
    ids = {tag: number for tag, _may, number in struct.iter_unpack("<HHI", found[4:])}
    assert (ids[2], ids[8]) == (1001, 1002)
    assert os.stat("/etc/passwd").st_uid == 0


def test_a_number_that_is_nobodys_is_not_handed_over(volume: Volume) -> None:
    volume.boot({"bob": 1000})
    volume.add("of-a-client", 1001)
    volume.boot(
        {"bob": 1001}, refused="belongs to the user 1001, whose name nobody has kept; in this image that is bob"
    )
    assert volume.owners() == {"of-a-client": (1001, 1001)}


@pytest.mark.parametrize("flag", ["i", "a"])
def test_what_nobody_may_change_is_named_before_anything_is_touched(volume: Volume, flag: str) -> None:
    volume.boot({"bob": 1000, "carol": 1001})
    files = [volume.add(name, 1000) for name in ("bob/free", "bob/held", "bob/kept")]
    other = volume.add("carol/held", 1001)
    before, record = volume.owners(), (volume.top / RECORD).read_text()
    held = [*files[1:], other]
    subprocess.run(["chattr", f"+{flag}", *held], check=True)
    try:
        refused = f"{files[1]} cannot be given its owner's new number: run chattr -ia on it in the image before"
        volume.boot({"bob": 1002, "carol": 1001}, refused=refused)
        volume.boot({"bob": 1002, "carol": 1001}, refused=f"{files[2]} cannot")
        assert (volume.owners(), (volume.top / RECORD).read_text()) == (before, record)
        assert not (volume.top / MOVING).exists()
    finally:
        subprocess.run(["chattr", f"-{flag}", *files, other], check=True)
    volume.boot({"bob": 1002, "carol": 1001})
    assert volume.owners()["bob/held"] == (1002, 1002)


def test_what_somebody_else_could_have_written_says_nothing(volume: Volume) -> None:
    record = volume.add(RECORD, 1000)
    record.write_text("user mallory 1001\ngroup mallory 1001\n")
    volume.add("bob", 1001)
    volume.boot({"mallory": 1000, "bob": 1001})
    assert volume.owners() == {"bob": (1001, 1001)}
    assert record.stat().st_uid == 0


def test_without_a_record_the_directory_says_whose_data_they_are(volume: Volume) -> None:
    volume.add("dump.rdb", 104)
    os.chown(volume.top, 104, 105)
    volume.boot({"_rpc": 104, "redis": 106}, {"redis": 107}, owner="redis")
    assert volume.owners() == {"dump.rdb": (106, 104)}
    assert (volume.top.stat().st_uid, volume.top.stat().st_gid) == (106, 107)


def test_killed_at_any_moment_it_ends_the_same(volume: Volume) -> None:
    one = {"alice": 1000, "bob": 1001, "carol": 1002}
    two = {"alice": 1001, "bob": 1000, "dave": 1002}
    volume.boot(one)
    for number in range(3000):
        volume.add(f"{number % 3}/{number}", 1000 + number % 3)
    names = {name: ["alice", "bob", "carol"][int(name[0])] for name in volume.owners()}
    chance = random.Random(13)
    killed = 0
    for _kill in range(24):
        process = volume.start(chance.choice((one, two)))
        time.sleep(chance.uniform(0.01, 0.12))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        process.communicate()
    assert killed > 5
    assert (volume.top / MOVING).exists() or (volume.top / RECORD).exists()
    volume.boot(two)
    numbers = {
        name: {owner for file, (owner, _group) in volume.owners().items() if names[file] == name} for name in one
    }
    assert numbers["alice"] == {1001}
    assert numbers["bob"] == {1000}
    assert not numbers["carol"] & {1000, 1001, 1002}
    volume.boot(one)
    assert {name: owner for name, (owner, _group) in volume.owners().items()} == {
        name: one[names[name]] for name in volume.owners()
    }


def test_a_tree_is_renumbered_as_told_even_in_a_circle(volume: Volume, tmp_path: Path) -> None:
    volume.add("one", 104).chmod(0o4755)
    volume.add("two", 105)
    os.link(volume.top / "one", volume.top / "again")
    moves = tmp_path / "moves"
    moves.write_text("user 104 105\nuser 105 104\ngroup 104 106\n")
    subprocess.run([PROGRAM, "tree", volume.top, moves], check=True, timeout=60)
    assert volume.owners() == {"one": (105, 106), "again": (105, 106), "two": (104, 105)}
    assert (volume.top / "one").stat().st_mode & 0o7777 == 0o4755
