# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One step of one run at a time per deployment. PRIVATE to the collection."""

from __future__ import annotations

import fcntl
import os
import time
import typing as t
from contextlib import contextmanager, suppress

from .errors import ComposeError
from .progress import Progress

#: Seconds to wait for another run's step to end; a step of a killed run goes on to its end.
PATIENCE = 900.0


@contextmanager
def deployment_lock(state: str, progress: Progress, patience: float = PATIENCE) -> t.Iterator[None]:
    """Hold the lock of a deployment while the body runs; the kernel releases it when the process dies.

    :raises ComposeError: another run still holds it after ``patience`` seconds.
    """
    os.makedirs(state, mode=0o700, exist_ok=True)
    path = os.path.join(state, "lock")
    with open(path, "a+", encoding="utf-8") as stream:

        def holder() -> str:
            stream.seek(0)
            return f"waiting for another run on this deployment (process {stream.read().strip() or 'unknown'})"

        deadline = time.monotonic() + patience
        with progress.waiting(holder):
            while True:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise ComposeError(f"{path}: {holder()} for more than {patience:.0f} s") from None
                    time.sleep(0.1)
        with suppress(OSError):  # a full disk: nobody is told who holds it
            os.ftruncate(stream.fileno(), 0)
            os.write(stream.fileno(), str(os.getpid()).encode())
        yield
