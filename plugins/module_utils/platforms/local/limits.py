# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of this host that nodes share with everything else that runs on it, counted before the first boot. PRIVATE.

Where one is reached, the node that happens to come last dies with words that name nothing.
"""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass, fields

from ...model.result import Problem

_UNLIMITED = 1 << 62


@dataclass(frozen=True)
class Needs:
    """What one node takes of this host, at least."""

    #: Instances of inotify, of root.
    inotify: int = 0
    #: Keys in the kernel, of root.
    keys: int = 0
    #: Processes and threads.
    tasks: int = 0
    #: Entries in the kernel's table of IPv4 neighbours, which all network namespaces share.
    neighbours: int = 0
    #: MiB of memory.
    memory: int = 0

    def __add__(self, other: Needs) -> Needs:
        return Needs(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


#: A container that boots systemd, with a network and an SSH server; measured, without what its role adds.
CONTAINER = Needs(inotify=6, keys=3, tasks=6, neighbours=2)


@dataclass(frozen=True)
class Limit:
    """One limit: how much there may be, how much there is already, and how to have more."""

    what: str
    name: str
    there: int
    used: int
    remedy: str = ""

    def lack(self, nodes: str, needed: int) -> str:
        """Why nodes cannot be started; empty if they can.

        :param nodes: how many, in words.
        """
        if self.used + needed <= self.there:
            return ""
        enough = 1 << (self.used + needed).bit_length()
        remedy = self.remedy or f"'sysctl -w {self.name}={enough}', and a file in /etc/sysctl.d to keep it"
        return (
            f"the nodes to start ({nodes}) need {needed} {self.what}, but {self.name} is {self.there} "
            f"and {self.used} are in use on this host: {remedy}"
        )


class Host:
    """What this host allows and what is in use, as its kernel tells.

    :param root: directory that has ``proc`` and ``sys``.
    """

    def __init__(self, root: str = "/") -> None:
        self.root = root

    def inotify(self) -> list[Limit]:
        name = "fs.inotify.max_user_instances"
        return [Limit("inotify instances", name, self._sysctl(name), self._instances())]

    def keys(self) -> list[Limit]:
        name = "kernel.keys.root_maxkeys"
        used = 0
        for line in self._lines("proc/key-users"):
            user, _colon, counts = line.partition(":")
            if user.strip() == "0":
                used = int(counts.split()[2].partition("/")[0])
        return [Limit("keys of the kernel", name, self._sysctl(name), used)]

    def tasks(self) -> list[Limit]:
        used = int(self._lines("proc/loadavg")[0].split()[3].partition("/")[2])
        what = "processes"
        found = [Limit(what, name, self._sysctl(name), used) for name in ("kernel.pid_max", "kernel.threads-max")]
        for group in self._groups():
            most = self._lines(f"{group}/pids.max")
            if most and most[0] != "max":
                path = f"/{group}/pids.max"
                used = int(self._lines(f"{group}/pids.current")[0])
                found.append(Limit(what, path, int(most[0]), used, f"write a higher number, or 'max', to {path}"))
        return found

    def neighbours(self) -> list[Limit]:
        name = "net.ipv4.neigh.default.gc_thresh3"
        table = self._lines("proc/net/stat/arp_cache")
        used = int(table[1].split()[0], 16) if len(table) > 1 else 0
        return [Limit("entries for neighbours", name, self._sysctl(name), used)]

    def memory(self) -> list[Limit]:
        here = {line.split(":")[0]: int(line.split()[1]) // 1024 for line in self._lines("proc/meminfo")}
        total = here["MemTotal"]
        remedy = "set memory, use fewer nodes, or stop something"
        return [Limit("MiB of memory", "MemTotal", total, total - here["MemAvailable"], remedy)]

    def _sysctl(self, name: str) -> int:
        """Its value; a kernel that lacks it has no such limit."""
        lines = self._lines(os.path.join("proc/sys", *name.split(".")))
        return int(lines[0]) if lines else _UNLIMITED

    def _groups(self) -> t.Iterator[str]:
        """Control groups, of either version, below which nodes run: containers, and what this process starts."""
        for top in ("sys/fs/cgroup", "sys/fs/cgroup/pids"):
            yield from (top, f"{top}/machine.slice")
        for line in self._lines("proc/self/cgroup"):
            _number, controllers, path = line.split(":", 2)
            if controllers in ("", "pids"):
                group = os.path.join("sys/fs/cgroup", controllers).rstrip("/")
                for part in filter(None, path.split("/")):
                    group = os.path.join(group, part)
                    yield group

    def _instances(self) -> int:
        """Those that processes of root hold open."""
        count = 0
        for pid in filter(str.isdigit, os.listdir(os.path.join(self.root, "proc"))):
            owner = [line for line in self._lines(f"proc/{pid}/status") if line.startswith("Uid:")]
            if not owner or owner[0].split()[1] != "0":
                continue
            directory = os.path.join(self.root, "proc", pid, "fd")
            try:
                for fd in os.listdir(directory):
                    count += os.readlink(os.path.join(directory, fd)) in ("anon_inode:inotify", "anon_inode:[inotify]")
            except OSError:
                continue  # gone meanwhile
        return count

    def _lines(self, path: str) -> list[str]:
        """Lines of a file; none where the kernel has no such file."""
        try:
            with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as stream:
                return stream.read().splitlines()
        except OSError:
            return []


def lacking(needs: t.Sequence[Needs], host: Host | None = None, *, beside: t.Sequence[Needs] = ()) -> list[Problem]:
    """What this host lacks to run nodes together with what it runs already: every limit, and how to raise it.

    :param needs: of each node that is to be started.
    :param beside: of those that other deployments start in the same run.
    """
    host = host or Host()
    together = [*needs, *beside]
    total = sum(together, Needs()) if needs else Needs()
    lacks = []
    for each in fields(total):
        needed = getattr(total, each.name)
        counts = [sum(bool(getattr(need, each.name)) for need in some) for some in (together, beside)]
        count = f"{counts[0]}, {counts[1]} of them of other deployments in this run" if counts[1] else str(counts[0])
        limits = getattr(host, each.name)() if needed else []  # counting takes a while
        lacks += [lack for lack in (limit.lack(count, needed) for limit in limits) if lack]
    return [Problem(lack) for lack in lacks]
