# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is at work on a deployment: one run from its plan to its end. PRIVATE to the collection.

The lock (:mod:`.lock`) is held by a step; between two steps of a run nobody holds it. So a run also leaves its name in
``<state>/lease.json``: who comes then is refused, and is told who is at work. A lease ends with its run, however that
ends: on the run's own host its process is looked for; from elsewhere it must have been heard of within
:data:`..progress.PATIENCE`. Should a run be taken for dead that is not, its next step finds another's name and changes
nothing.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
import typing as t
from contextlib import contextmanager, suppress

from ..errors import ComposeError
from ..lock import deployment_lock
from ..model import codec
from ..progress import PATIENCE, Progress
from .run import Run

#: Seconds between two signs of life.
BEAT = 1.0


class Lease:
    """The claim of one run on one deployment.

    :param state: the deployment's directory.
    """

    def __init__(self, state: str, run: Run, progress: Progress) -> None:
        self.run = run
        self.progress = progress
        self._state = state
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
            codec.write(self._path, self.run)
            return True

    def require(self) -> None:
        """:raises ComposeError: the run does not hold the deployment: what it decided may not be true any more."""
        held = self._held()
        if held != self.run:
            by = f"{held.who} is at work on it since {held.since}" if held else "the lease that its plan took is gone"
            raise ComposeError(f"this run does not hold the deployment any more ({by}); nothing was changed: run again")

    def end(self) -> None:
        """Give the deployment free, if it is this run's."""
        with self._guarded():
            if self._held() == self.run:
                os.unlink(self._path)

    @contextmanager
    def begun(self) -> t.Iterator[None]:
        """Take the deployment and act on it; it stays this run's unless the body fails."""
        self.take()
        try:
            with self.kept():
                yield
        except BaseException:
            self.end()
            raise

    @contextmanager
    def taken(self) -> t.Iterator[None]:
        """Take the deployment, act on it, and give it free, unless it was this run's before."""
        new = self.take()
        with self.kept(ends=lambda: new):
            yield

    @contextmanager
    def kept(self, *, ends: t.Callable[[], bool] = lambda: False) -> t.Iterator[None]:
        """Act on the deployment: nobody else does meanwhile, also no step that is left of a run that was killed.

        Gives signs of life, and ends this process when the run has ended: nobody waits for it.

        :param ends: whether to give the deployment free afterwards.
        :raises ComposeError: the run has ended already.
        """
        if self.run.alive is False:
            self.end()
            raise ComposeError(f"the run that asked for this has ended ({self.run.who}); nothing was changed")
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(BEAT):
                if self.run.alive is False or self.progress.forgotten:
                    os._exit(1)
                with suppress(OSError):
                    os.utime(self._path)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            with deployment_lock(self._state, self.progress):
                yield
        finally:
            stop.set()
            thread.join()
            if ends():
                self.end()

    def _held(self) -> Run | None:
        with suppress(FileNotFoundError), codec.forgiving():  # what is damaged is nobody's: it is written in one step
            return codec.read(Run, self._path)
        return None

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
        with self.progress.waiting(lambda: f"waiting to see whether {held.who} is still at work on this deployment"):
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
