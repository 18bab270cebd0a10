# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks of Proxmox VE: what takes longer than a call. PRIVATE to the collection."""

from __future__ import annotations

import re
import time
import typing as t

from ...errors import ComposeError
from ...model.answer import WrongAnswer
from .answers import Line, TaskStatus
from .client import Client, Refusal

#: Seconds between the first two looks at a task.
_SHORTEST = 0.1
#: Lines of a task's log that an error repeats.
_TAIL = 8
#: Name of a task, with that of its node.
_UPID = re.compile(r"UPID:([A-Za-z0-9.-]+):[^/?#\s]*")


class TaskError(Refusal):
    """A task ended badly, or not in time: what refuses calls can also end tasks, later.

    :param text: how the task ended, in the server's words.
    """

    def __init__(self, what: str, upid: str, text: str, log: t.Sequence[str] = ()) -> None:
        tail = "".join(f"\n{line}" for line in log if line.strip() and line != f"TASK ERROR: {text}")
        super().__init__(f"{what} failed: {text} (task {upid}){tail}", text)


def wait_for(client: Client, upid: str, what: str, seconds: float) -> None:
    """Wait for the end of a task.

    :param what: is done, for messages: ``import of …``.
    :raises TaskError: it failed, or did not end within ``seconds``.
    """
    match = _UPID.fullmatch(upid)
    if match is None:
        raise WrongAnswer(f"Proxmox calls the task of {what} {upid[:60]!r}, expected UPID:NODE:…")
    path = f"/nodes/{match[1]}/tasks/{upid}"
    begin = time.monotonic()
    while True:
        status = client.get(TaskStatus, f"{path}/status")
        if status.status == "stopped":
            result = status.exitstatus or "no exit status"
            if result == "OK" or result.startswith("WARNINGS"):
                return
            raise TaskError(what, upid, result, _log(client, path))
        passed = time.monotonic() - begin
        if passed > seconds:
            raise TaskError(what, upid, f"has not ended after {seconds:.0f} s", _log(client, path))
        # A long task is asked less often: at most a tenth of its time is lost.
        time.sleep(min(max(_SHORTEST, passed / 10), 2.0))


def _log(client: Client, path: str) -> list[str]:
    try:
        lines = [str(line.t) for line in client.get(list[Line], f"{path}/log", limit=500)]
    except ComposeError:  # what is known already is more to the point
        return []
    # That a log is empty is told in its first line.
    return [line for line in lines if line != "no content"][-_TAIL:]
