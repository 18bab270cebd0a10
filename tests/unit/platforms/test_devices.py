# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices that containers are lent, and those that they cannot have."""

from __future__ import annotations

import os
import stat
import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe.options import validate_options
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Node
from ansible_collections.immutable.compose.plugins.module_utils.platforms.base import Platform
from ansible_collections.immutable.compose.plugins.module_utils.platforms.local import devices
from ansible_collections.immutable.compose.plugins.module_utils.platforms.nspawn.platform import Nspawn
from ansible_collections.immutable.compose.plugins.module_utils.platforms.podman.platform import Podman

BLOCKS, MOUNTED = os.makedev(8, 16), os.makedev(8, 1)


class Stat:
    def __init__(self, mode: int, number: int) -> None:
        self.st_mode, self.st_rdev = mode, number


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/fuse, and disks: two names of one, and one that is mounted."""
    there = {
        "/dev/fuse": Stat(stat.S_IFCHR, os.makedev(10, 229)),
        "/dev/sdb": Stat(stat.S_IFBLK, BLOCKS),
        "/dev/disk/by-id/one": Stat(stat.S_IFBLK, BLOCKS),
        "/dev/sda1": Stat(stat.S_IFBLK, MOUNTED),
        "/dev/shm": Stat(stat.S_IFDIR, 0),
    }

    def status(path: str) -> Stat:
        if path not in there:
            raise FileNotFoundError(2, "No such file or directory")
        return there[path]

    monkeypatch.setattr(devices.os, "stat", status)
    monkeypatch.setattr(devices, "_mounted", lambda: {MOUNTED: "/home"})


def told(*lists: list[str]) -> dict[str | None, list[str]]:
    """Node → what is said of it, of nodes that are lent these lists."""
    nodes = [Node(f"n{index}", "n", index, None, options={"devices": each}) for index, each in enumerate(lists, 1)]
    found: dict[str | None, list[str]] = {}
    for problem in devices.unusable(nodes, nodes):
        assert problem.key == "devices"
        found.setdefault(problem.node, []).append(problem.message)
    return found


def test_one_without_blocks_is_for_all_and_a_disk_for_one() -> None:
    assert told(["/dev/fuse", "/dev/sdb"], ["/dev/fuse"], []) == {}


def test_a_disk_by_two_names_is_one_disk() -> None:
    message = "{} would be used by several nodes at once: n1, n2"
    assert told(["/dev/sdb"], ["/dev/disk/by-id/one"]) == {
        "n1": [message.format("/dev/sdb")],
        "n2": [message.format("/dev/disk/by-id/one")],
    }


def test_one_node_may_have_a_disk_by_two_names() -> None:
    assert told(["/dev/sdb", "/dev/disk/by-id/one"]) == {}


def test_what_is_mounted_here_or_is_none_is_refused() -> None:
    assert told(["/dev/sda1", "/dev/shm"], ["/dev/none"]) == {
        "n1": ["/dev/sda1 is mounted on this host, at /home", "/dev/shm is not a device"],
        "n2": ["/dev/none: No such file or directory"],
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["/etc/passwd"], "expected paths of devices below /dev"),
        (["/dev/fuse:/dev/sda"], "expected paths of devices below /dev"),
        (["/dev/fuse,/dev/sda"], "expected paths of devices below /dev"),
        (["/dev/fuse rwm"], "expected paths of devices below /dev"),
        (["/dev/fuse\n"], "expected paths of devices below /dev"),
        ("/dev/fuse", "expected list"),
        ([1], "expected a list of strings"),
    ],
)
@pytest.mark.parametrize("platform", [Nspawn, Podman])
def test_what_is_no_path_of_a_device_is_refused_in_the_file(given: t.Any, words: str, platform: type[Platform]) -> None:
    with pytest.raises(InputError, match=f"roles.a: devices is .*{words}"):
        validate_options(platform, {"devices": given}, "roles.a", "platform")
