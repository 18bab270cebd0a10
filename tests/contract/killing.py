# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are killed with SIGKILL, at points that follow from what the process does to the world."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
import typing as t
import warnings

#: What changes something outside of the process, or asks for it; see Python's table of audit events.
DEEDS = (
    "http.client.send",
    "os.mkdir",
    "os.posix_spawn",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "socket.connect",
    "subprocess.Popen",
)
#: Deeds before which runs are killed, one run after the other.
POINTS = (1, 2, 5, 12, 30, 75, 200)
PATIENCE = 120.0


def until_done(run: t.Callable[[t.Callable[[str], None]], object], step: str) -> int:
    """Run again and again, each time killed later in a step, until that is over before; how many were killed.

    :param run: takes what is to be called with the name of each step before it.
    """
    for number, point in enumerate(POINTS):
        if not is_killed(run, step, point):
            return number
    return len(POINTS)


def is_killed(run: t.Callable[[t.Callable[[str], None]], object], step: str, point: int) -> bool:
    """Run in another process, which is killed before a deed of that number in a step; whether it came so far."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads serve, or wait; none holds what a run needs
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            run(_Death(step, point).before)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    end = time.monotonic() + PATIENCE
    ended, status = 0, 0
    while not ended:
        assert time.monotonic() < end or os.kill(pid, signal.SIGKILL), "the run does not end"
        time.sleep(0.02)
        ended, status = os.waitpid(pid, os.WNOHANG)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, -signal.SIGKILL), "the run has failed"
    return code != 0


class _Death:
    def __init__(self, step: str, point: int) -> None:
        self.step, self.left = step, point
        self.now = ""

    def before(self, step: str) -> None:
        if not self.now:
            sys.addaudithook(self._hook)
        self.now = step

    def _hook(self, event: str, arguments: t.Any) -> None:
        if self.now == self.step and event in DEEDS:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
