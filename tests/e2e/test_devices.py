# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices of the host in containers: who is lent one has it, and nobody else."""

from __future__ import annotations

import os
import stat
import typing as t
from collections.abc import Iterator

import pytest
from lab import Lab
from tiny import Tiny

#: Opening is what a host forbids to containers that were not lent a device.
USES = "exec 3<>/dev/fuse && readlink /proc/self/fd/3"
#: A device with blocks, with nothing behind it.
DISK = f"/dev/compose-test-{os.getpid()}"


@pytest.fixture
def disk() -> Iterator[None]:
    os.mknod(DISK, stat.S_IFBLK | 0o600, os.makedev(7, 1001))
    yield
    os.unlink(DISK)


def lent(*devices: str) -> dict[str, t.Any]:
    return {"app1": {"options": {"devices": list(devices)}}}


@pytest.fixture(scope="module")
def site(tiny_of: t.Callable[..., Tiny]) -> Tiny:
    site = tiny_of(2, ["other"])
    site.write(nodes=lent("/dev/fuse"))
    site.play("deploy")
    return site


def test_only_who_is_lent_a_device_has_it(site: Tiny) -> None:
    assert site.on("app1", USES) == "/dev/fuse\n"
    for node in ("app2", "other"):
        assert (
            site.on(node, "ls /dev/fuse 2>&1 || true") == "ls: cannot access '/dev/fuse': No such file or directory\n"
        )
    assert site.play("deploy").changed == 0


def test_another_list_is_another_boot_of_that_node_only(site: Tiny) -> None:
    boots = {node: site.boot_of(node) for node in ("app1", "app2")}
    site.write(nodes=lent("/dev/fuse", "/dev/full"))
    assert "devices ['/dev/fuse'] → ['/dev/fuse', '/dev/full']" in site.play("plan").output
    site.play("deploy")
    assert site.on("app1", f"{USES}; echo no > /dev/full || true").startswith("/dev/fuse\n")
    assert site.boot_of("app1") != boots["app1"]
    assert site.boot_of("app2") == boots["app2"]


@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize(
    ("devices", "words"),
    [
        (["/dev/none-such"], "/dev/none-such: No such file or directory"),
        (["/dev/shm"], "/dev/shm is not a device"),
        (["/dev/../etc/passwd"], "/dev/../etc/passwd is not a device"),
        ([DISK], f"{DISK} would be used by several nodes at once: app1, app2"),
    ],
    ids=["absent", "directory", "way out", "shared"],
)
def test_others_are_refused_before_anything_is_touched(site: Tiny, devices: t.Any, words: str) -> None:
    boots = {node: site.boot_of(node) for node in ("app1", "app2")}
    before = dict(site.deployment)
    site.write(nodes={}, roles={"app": {"count": 2, "options": {"devices": devices}}})
    try:
        assert words in site.play("deploy", expect=2).output
    finally:
        site.write(**before)
    assert {node: site.boot_of(node) for node in ("app1", "app2")} == boots


def test_containers_of_podman_are_lent_devices_too(lab_of: t.Callable[..., Lab]) -> None:
    platform = {"name": "podman", "runtime": "runc", "devices": ["/dev/fuse"]}
    lab = lab_of("lent", "web", platform=platform, roles={"backend": ["backend"]})
    lab.play("deploy")
    assert lab.ssh("backend", USES).stdout == "/dev/fuse\n"
