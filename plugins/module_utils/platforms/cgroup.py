# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cgroup for each container, which outlives the session that started it. PRIVATE to the collection."""

from __future__ import annotations

import os
import time

from ..errors import ComposeError

_ROOT = "/sys/fs/cgroup"

#: Seconds for the kernel to notice that a cgroup is empty.
_PATIENCE = 5.0

#: Moves itself into the cgroups given first, up to ``--``, and becomes the command after it.
_MOVE = 'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit; shift; done; shift; exec "$@"'


def own_cgroup(name: str, command: list[str]) -> list[str]:
    """The command, run in a cgroup of its own that it may divide further.

    Where systemd runs, a scope unit of it; elsewhere cgroups named ``name`` in those hierarchies that systemd-nspawn
    looks at: without one of their own, two containers would share, and stop, one tree of processes.
    """
    if os.path.isdir("/run/systemd/system"):
        scope = ["--scope", "--quiet", "--collect", "--no-ask-password", "--slice=machine.slice"]
        return ["systemd-run", *scope, f"--description={name}", "--property=Delegate=yes", "--", *command]
    groups = _groups(name)
    for group in groups:
        try:
            os.makedirs(group, exist_ok=True)
        except OSError as error:
            raise ComposeError(f"containers need cgroups that can be changed: {error}") from None
    return ["sh", "-c", _MOVE, "sh", *groups, "--", *command]


def drop_cgroup(name: str) -> None:
    """Remove what :func:`own_cgroup` made; only after its last process ended."""
    end = time.monotonic() + _PATIENCE
    for group in _groups(name):
        for directory, _children, _files in os.walk(group, topdown=False):
            while True:
                try:
                    os.rmdir(directory)
                    break
                except OSError as error:
                    if time.monotonic() > end:
                        raise ComposeError(f"a process of the node is left in {directory}: {error}") from None
                    time.sleep(0.02)


def _groups(name: str) -> list[str]:
    """The unified hierarchy, or systemd's own one and the unified one besides it."""
    roots = (_ROOT, os.path.join(_ROOT, "systemd"), os.path.join(_ROOT, "unified"))
    return [os.path.join(root, name) for root in roots if os.path.exists(os.path.join(root, "cgroup.procs"))]
