# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment has on its host besides files: processes, mounts, a network namespace, cgroups."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from contextlib import suppress
from pathlib import Path

from lab import PATIENCE, command_of

from ansible_collections.immutable.compose.plugins.module_utils.platforms.local.netns import Namespace

#: Where cgroups of nodes may be: see platforms/local/cgroup.py.
_HIERARCHIES = ("", "systemd/", "unified/", "machine.slice/")
#: What a shell starts that writes a console, see platforms/local/machine.py: it comes and goes, and ends with the node.
_PASSING = ("dd", "stat", "tail", "truncate")


class Remains:
    """:param directory: that the words of all its processes name; :param state: in there; :param role: of its nodes."""

    def __init__(self, directory: Path, state: Path, role: str) -> None:
        self._role = role
        self._directory = directory
        self._state = state
        self._namespace = Namespace(state.name, str(state))

    def picture(self) -> dict[str, str]:
        """All of it in words, nothing that is another one each time."""
        return {
            "processes": "\n".join(sorted(self.processes().values())),
            "mounts": "\n".join(self._mounts()),
            "namespace": "\n".join(self._namespace.there()),
            "cgroups": "\n".join(str(group) for group in self._cgroups()),
        }

    def processes(self) -> dict[int, str]:
        """What each of them is: a program, and the node."""
        found = {}
        for entry in os.listdir("/proc"):
            words = command_of(int(entry)).split() if entry.isdigit() and int(entry) != os.getpid() else []
            if any(str(self._directory) in word for word in words) and os.path.basename(words[0]) not in _PASSING:
                node = [word for word in words if word.startswith("--machine=")]
                found[int(entry)] = " ".join([os.path.basename(words[0]), *node])
        return found

    def supervisors(self) -> list[int]:
        """Those of nodes, which systemd-nspawn is."""
        return [pid for pid, what in self.processes().items() if what.startswith("systemd-nspawn --machine")]

    def _mounts(self) -> list[str]:
        points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        return sorted(point for point in points if point.startswith(f"{self._state}/"))

    def _cgroups(self) -> list[Path]:
        markers = [uuid.uuid5(uuid.NAMESPACE_URL, f"{self._state}/{self._role}{number}") for number in (1, 2, 3)]
        groups = [
            group
            for marker in markers
            for above in _HIERARCHIES
            for group in Path("/sys/fs/cgroup").glob(f"{above}compose-{marker}*")
        ]
        return sorted(groups)

    def end(self) -> None:
        """As when the power goes: nothing of it goes on, and what was in memory only is gone."""
        deadline = time.monotonic() + PATIENCE
        while self.processes() or self._cgroups():
            assert time.monotonic() < deadline, self.picture()
            below = [Path(top) for group in self._cgroups() for top, _names, _files in os.walk(group, topdown=False)]
            members = [int(pid) for group in below for pid in _members(group)]
            for pid in (*self.processes(), *members):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for group in below:
                with suppress(OSError):  # once its processes are gone
                    group.rmdir()
            time.sleep(0.02)
        for mount in reversed(self._mounts()):
            subprocess.run(["umount", mount], check=True)
        self._namespace.remove()


def _members(group: Path) -> list[str]:
    with suppress(OSError):
        return (group / "cgroup.procs").read_text().split()
    return []
