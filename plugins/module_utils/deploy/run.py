# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which run a step belongs to. PRIVATE to the collection."""

from __future__ import annotations

import getpass
import os
import socket
import time
import typing as t
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Run:
    """One ``ansible-playbook``: its process, on whatever host."""

    #: For people: user, host, process, and the number of the job in AWX.
    who: str
    #: Identifies kernel and process namespace that ``pid`` belongs to.
    host: str
    #: Of the ``ansible-playbook``.
    pid: int
    #: When the process was started, in the kernel's own unit: process ids are used again.
    started: str
    #: UTC, ``2026-01-31T12:00:00Z``.
    since: str = field(default="", compare=False)
    schema: t.Literal["immutable.compose/lease/1"] = "immutable.compose/lease/1"

    @classmethod
    def of_worker(cls) -> Run:
        """The run that this process, which Ansible has forked for a task, belongs to, even if that has ended since.

        Whoever is left of a run that was killed has another parent, which lives as long as its host.
        """
        import multiprocessing  # slow, and there already where Ansible has forked

        parent = multiprocessing.parent_process()
        pid = parent.pid if parent else None
        return cls.of_process(pid if pid is not None else os.getpid())

    @classmethod
    def of_process(cls, pid: int) -> Run:
        """The run whose main process that is, on this host."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container may run as a user that it does not know
            user = f"user {os.getuid()}"
        job = f", job {os.environ['JOB_ID']}" if os.environ.get("JOB_ID") else ""
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return cls(f"{user}@{socket.gethostname()}, process {pid}{job}", _host(), pid, _started(pid) or "", since)

    @property
    def alive(self) -> bool | None:
        """Whether the process exists; ``None`` where that cannot be seen from here."""
        if self.host != _host() or not os.path.exists("/proc/self"):  # no Linux: a controller only
            return None
        return _started(self.pid) == self.started


def _host() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
            boot = stream.read().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # no Linux: a controller only
        return socket.gethostname()


def _started(pid: int) -> str | None:
    """When a process was started; ``None`` if there is none, or only what is left of it."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            fields = stream.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in ("Z", "X") else fields[19]
