"""Limits of a host, read from files as its kernel shows them."""

from __future__ import annotations

import os
import re
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.model import codec
from ansible_collections.immutable.compose.plugins.module_utils.platforms.base import Neighbour
from ansible_collections.immutable.compose.plugins.module_utils.platforms.local import limits
from ansible_collections.immutable.compose.plugins.module_utils.platforms.local.limits import (
    CONTAINER,
    Host,
    Needs,
    lacking,
)
from ansible_collections.immutable.compose.plugins.module_utils.platforms.problems import refuse
from ansible_collections.immutable.compose.plugins.module_utils.platforms.qemu import kvm

from .conftest import Lab, Scripts

FILES = {
    "proc/sys/fs/inotify/max_user_instances": "128\n",
    "proc/sys/kernel/keys/root_maxkeys": "1000000\n",
    "proc/sys/kernel/pid_max": "32768\n",
    "proc/sys/kernel/threads-max": "192730\n",
    "proc/sys/net/ipv4/neigh/default/gc_thresh3": "1024\n",
    "proc/key-users": "    0:    14 13/13 8/1000000 65/25000000\n 1000:     2 2/2 2/200 20/20000\n",
    "proc/loadavg": "9.45 6.51 4.11 11/210 22498\n",
    "proc/net/stat/arp_cache": "entries  allocs\n00000010 00000060\n00000010 0000005b\n",
    "proc/meminfo": "MemTotal:       24683520 kB\nMemFree: 1 kB\nMemAvailable:   2097152 kB\n",
    "proc/self/cgroup": "9:name=systemd:/\n8:pids:/jobs/mine\n0::/user.slice/session\n",
    "proc/1/status": "Name:\tsystemd\nUid:\t0\t0\t0\t0\n",
    "proc/7/status": "Name:\tdbus\nUid:\t101\t101\t101\t101\n",
}


class FakeHost(Host):
    def __init__(self, directory: Path) -> None:
        super().__init__(str(directory))
        self.directory = directory
        for path, text in FILES.items():
            self.write(path, text)
        self.holds("1", "anon_inode:inotify", "anon_inode:inotify", "anon_inode:[eventpoll]", "/dev/null")
        self.holds("7", "anon_inode:inotify")

    def write(self, path: str, text: str) -> None:
        target = self.directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def holds(self, pid: str, *targets: str) -> None:
        directory = self.directory / "proc" / pid / "fd"
        directory.mkdir(parents=True)
        for number, target in enumerate(targets):
            os.symlink(target, directory / str(number))


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def test_what_fits_is_not_refused(host: FakeHost) -> None:
    refuse(lacking([CONTAINER] * 21, host))
    refuse(lacking([Needs(memory=512)] * 4, host))
    refuse(lacking([], host))
    refuse(lacking([], host, beside=[CONTAINER] * 30))
    with pytest.raises(ComposeError, match="30, 20 of them of other deployments in this run"):
        refuse(lacking([CONTAINER] * 10, host, beside=[CONTAINER] * 20))


@pytest.mark.parametrize(
    ("needs", "count", "message"),
    [
        (
            CONTAINER,
            22,
            "the nodes to start (22) need 132 inotify instances, but fs.inotify.max_user_instances is 128 and 2 are in "
            "use on this host: 'sysctl -w fs.inotify.max_user_instances=256', and a file in /etc/sysctl.d to keep it",
        ),
        (
            Needs(keys=500_000),
            2,
            "need 1000000 keys of the kernel, but kernel.keys.root_maxkeys is 1000000 and 8 are in",
        ),
        (
            Needs(tasks=8140),
            4,
            "the nodes to start (4) need 32560 processes, but kernel.pid_max is 32768 and 210",
        ),
        (
            Needs(neighbours=2),
            505,
            "need 1010 entries for neighbours, but net.ipv4.neigh.default.gc_thresh3 is 1024 and 16",
        ),
        (
            Needs(memory=1024),
            3,
            "the nodes to start (3) need 3072 MiB of memory, but MemTotal is 24105 and 22057 are in use on this host: "
            "set memory, use fewer nodes",
        ),
    ],
)
def test_what_does_not_fit_is_named(host: FakeHost, needs: Needs, count: int, message: str) -> None:
    with pytest.raises(ComposeError, match=re.escape(message)) as caught:
        refuse(lacking([needs] * count, host))
    assert "; " not in caught.value.message, "only what lacks is named"
    if count > 3:  # one less fits, or nearly
        refuse(lacking([needs] * (count - 1), host))


def test_every_limit_that_is_passed_is_named_at_once(host: FakeHost) -> None:
    with pytest.raises(ComposeError) as caught:
        refuse(lacking([Needs(inotify=200, memory=4096), Needs(memory=1)], host))
    dummy, inotify, memory = caught.value.message.splitlines()
    assert inotify.startswith("- the nodes to start (1) need 200 inotify") and memory.startswith(
        "- the nodes to start (2) need 4097 MiB"
    )


@pytest.mark.parametrize(
    "group", ["sys/fs/cgroup", "sys/fs/cgroup/machine.slice", "sys/fs/cgroup/pids/jobs", "sys/fs/cgroup/user.slice"]
)
def test_control_groups_have_limits_of_their_own(host: FakeHost, group: str) -> None:
    host.write(f"{group}/pids.max", "max\n")
    refuse(lacking([CONTAINER], host))
    host.write(f"{group}/pids.max", "40\n")
    host.write(f"{group}/pids.current", "30\n")
    refuse(lacking([CONTAINER], host))
    with pytest.raises(ComposeError, match=f"but /{group}/pids.max is 40 and 30 are in use on this host: write"):
        refuse(lacking([CONTAINER] * 2, host))


def test_kernels_without_a_limit(host: FakeHost) -> None:
    for path in ("proc/sys/kernel/keys/root_maxkeys", "proc/key-users", "proc/net/stat/arp_cache"):
        (host.directory / path).unlink()
    refuse(lacking([CONTAINER] * 21, host))


def test_this_very_host_can_be_read() -> None:
    with open("/proc/self/status", encoding="ascii") as stream:
        before = Host().inotify()[0].used if "Uid:\t0" in stream.read() else None
    for name in ("inotify", "keys", "tasks", "neighbours", "memory"):
        assert all(limit.there > 0 and limit.used >= 0 for limit in getattr(Host(), name)())
    if before is not None:
        import ctypes

        fds = [ctypes.CDLL(None).inotify_init() for _number in range(20)]
        assert Host().inotify()[0].used >= before + 10  # others come and go meanwhile
        for fd in fds:
            os.close(fd)


def test_only_nodes_to_be_started_count(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(limits, "lacking", lambda needs, beside: asked.append((len(needs), len(beside))) or [])
    platform = lab.platform()
    refuse(platform.check(platform.deployment.nodes))
    lab.switch(platform, "image")
    refuse(platform.check(platform.deployment.nodes))
    # Of a neighbour, what runs already and what is not its turn are not counted, either.
    other = Lab(lab.state.parent / "other").platform("node3")
    other.neighbours = [Neighbour(lab.platform("node1", "node8", "node9"), ("node1", "node8"))]
    refuse(other.check(other.deployment.nodes))
    assert asked == [(2, 0), (0, 0), (1, 1)]


def test_platforms_refuse_before_anything_is_touched(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scripts, "needs", lambda self, node: Needs(memory=1 << 30))
    platform = lab.platform()
    with pytest.raises(ComposeError, match=r"the nodes to start \(2\) need 2147483648 MiB of memory"):
        refuse(platform.check(platform.deployment.nodes))


@pytest.mark.parametrize(
    ("device", "fault", "emulated"),
    [(True, None, False), (True, "", False), (True, "no", True), (False, None, True)],
)
def test_emulated_or_not(tmp_path: Path, device: bool, fault: t.Any, emulated: bool) -> None:
    path = tmp_path / "kvm"
    if device:
        path.touch()
    if fault is not None:
        codec.write(str(tmp_path / "kvm.json"), kvm._here(fault))
    assert kvm.is_emulated(str(tmp_path), str(path)) is emulated
