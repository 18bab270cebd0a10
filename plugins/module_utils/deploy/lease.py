# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is at work on a deployment: one run from its plan to its end. PRIVATE to the collection.

The lock (:mod:`.lock`) is held by a step; between two steps of a run nobody holds it. So a run also leaves its name in
``<state>/lease.json``: who comes then is refused, and is told who is at work. A lease ends with its run, however that
ends: on the run's own host its process is looked for; from elsewhere it must have been heard of within
:data:`PATIENCE`. Should a run be taken for dead that is not, its next step finds another's name and changes nothing.
"""

from __future__ import annotations

import fcntl
import getpass
import os
import socket
import threading
import time
import typing as t
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field

from ..errors import ComposeError
from ..files import read_json, write_json
from ..progress import Progress

#: Seconds after which a run of another host that nothing was heard of has ended.
PATIENCE = 60.0
#: Seconds between two signs of life.
BEAT = 1.0


@dataclass(frozen=True)
class Run:
    """One ``ansible-playbook``: its process, on whatever host."""

    #: For people: user, host, process.
    who: str
    #: Identifies kernel and process namespace that ``pid`` belongs to.
    host: str
    pid: int
    #: When the process was started, in the kernel's own unit: process ids are used again.
    started: str
    since: str = field(default="", compare=False)

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
        if self.host != _host():
            return None
        return _started(self.pid) == self.started


class Lease:
    """The claim of one run on one deployment.

    :param state: the deployment's directory.
    """

    def __init__(self, state: str, run: Run, progress: Progress) -> None:
        self.run = run
        self.progress = progress
        self._path = os.path.join(state, "lease.json")
        self._guard = os.path.join(state, "lease.lock")

    def take(self) -> bool:
        """Claim the deployment; whether it was not this run's before.

        :raises ComposeError: another run is at work.
        """
        held = self._held()
        if held is not None and held != self.run and held.alive is None:
            self._wait_for(held)
        with self._guarded():
            held = self._held()
            if held == self.run:
                return False
            if held is not None and held.alive is not False and not self._is_silent():
                raise self._refusal(held)
            write_json(self._path, asdict(self.run))
            return True

    def require(self) -> None:
        """:raises ComposeError: the run does not hold the deployment: what it decided may not be true any more."""
        held = self._held()
        if held != self.run:
            by = f"{held.who} is at work on it since {held.since}" if held else "its plan did not hold it until now"
            raise ComposeError(f"this run does not hold the deployment any more ({by}); nothing was changed: run again")

    def end(self) -> None:
        """Give the deployment free, if it is this run's."""
        with self._guarded():
            if self._held() == self.run:
                os.unlink(self._path)

    @contextmanager
    def kept(self) -> t.Iterator[None]:
        """Give signs of life while the body runs, and end this process when the run has ended: nobody waits for it."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(BEAT):
                if self.run.alive is False:
                    os._exit(1)
                with suppress(OSError):
                    os.utime(self._path)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _held(self) -> Run | None:
        try:
            return Run(**read_json(self._path))
        except FileNotFoundError:
            return None
        except (TypeError, ValueError):
            return None  # nobody's: a lease is written in one step

    def _is_silent(self) -> bool:
        return time.time() - self._heard() > PATIENCE

    def _heard(self) -> float:
        try:
            return os.stat(self._path).st_mtime
        except FileNotFoundError:
            return 0.0

    def _wait_for(self, held: Run) -> None:
        """Until a run of another host gives a sign of life, or has been silent for long enough."""
        heard = self._heard()
        with self.progress.waiting(lambda: f"waiting whether {held.who} is still at work on this deployment"):
            while self._held() == held and not self._is_silent():
                if self._heard() != heard:
                    raise self._refusal(held)
                time.sleep(BEAT / 2)

    def _refusal(self, held: Run) -> ComposeError:
        return ComposeError(
            f"another run is at work on this deployment since {held.since}: {held.who}; nothing was changed. "
            "Run again when it has ended"
        )

    @contextmanager
    def _guarded(self) -> t.Iterator[None]:
        """Nobody else reads and writes the lease meanwhile; for an instant only."""
        os.makedirs(os.path.dirname(self._guard), mode=0o700, exist_ok=True)
        with open(self._guard, "a", encoding="utf-8") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


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
