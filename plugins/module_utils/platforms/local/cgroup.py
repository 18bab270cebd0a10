# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cgroup for each container, which outlives the session that started it. PRIVATE to the collection."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from ...errors import ComposeError
from ...process import run

_ROOT = "/sys/fs/cgroup"

#: Seconds for killed processes to be gone.
_PATIENCE = 10.0

#: Moves itself into the cgroups given first, up to ``--``, and becomes the command after it.
_MOVE = 'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit; shift; done; shift; exec "$@"'


def own_cgroup(name: str, command: list[str]) -> list[str]:
    """The command, run in a cgroup of its own that it may divide further.

    Where systemd runs, a scope unit of it; elsewhere cgroups named ``name`` in those hierarchies that systemd-nspawn
    looks at: without one of their own, two containers would share, and stop, one tree of processes.
    """
    if _systemd():
        scope = ["--scope", f"--unit={name}.scope", "--slice=machine.slice", "--property=Delegate=yes"]
        return ["systemd-run", *scope, "--quiet", "--collect", "--no-ask-password", "--", *command]
    groups = _groups(name)
    for group in groups:
        try:
            os.makedirs(group, exist_ok=True)
        except OSError as error:
            raise ComposeError(f"containers need cgroups that can be changed: {error}") from None
    return ["sh", "-c", _MOVE, "sh", *groups, "--", *command]


def drop_cgroup(name: str) -> None:
    """Remove what :func:`own_cgroup` made. What still runs in it is killed: it has lost the process that supervised it.

    :raises ComposeError: a process does not end even when it is killed.
    """
    if _systemd():
        run(["systemctl", "kill", "--signal=KILL", f"{name}.scope"], timeout=_PATIENCE, check=False)
        run(["systemctl", "stop", f"{name}.scope"], timeout=_PATIENCE, check=False)
        return
    end = time.monotonic() + _PATIENCE
    for group in _groups(name):
        for directory, _children, _files in os.walk(group, topdown=False):
            while not _remove(directory):
                if time.monotonic() > end:
                    raise ComposeError(f"a process of the node is left in {directory}")
                time.sleep(0.02)


def _remove(directory: str) -> bool:
    """Remove one cgroup, or kill what is in it; whether it is gone."""
    with open(os.path.join(directory, "cgroup.procs"), encoding="ascii") as stream:
        for pid in stream.read().split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    try:
        os.rmdir(directory)
    except OSError:
        return False
    return True


def _systemd() -> bool:
    """Whether systemd manages this host, see sd_booted(3)."""
    return os.path.isdir("/run/systemd/system")


def _groups(name: str) -> list[str]:
    """The unified hierarchy, or systemd's own one and the unified one besides it."""
    roots = (_ROOT, os.path.join(_ROOT, "systemd"), os.path.join(_ROOT, "unified"))
    return [os.path.join(root, name) for root in roots if os.path.exists(os.path.join(root, "cgroup.procs"))]
