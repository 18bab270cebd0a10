# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which trials are done, and whose turn it is: runners share them. PRIVATE to the collection.

execo's ``ParamSweeper`` keeps what is done and what is being done. It cannot tell who is dead; locks of the kernel can.
"""

from __future__ import annotations

import fcntl
import os
import typing as t
from contextlib import contextmanager

from ..errors import InputError
from ..libraries import missing_library


class Sharing:
    """The trials of an experiment, as one runner has them.

    :param directory: for the state; shared by all runners.
    :param runner: name of this one; empty for the only one.
    :param trials: their ids.
    :param done: tells which of them have results; whatever else is remembered of them, the others are to be run.
    """

    def __init__(
        self, directory: str, runner: str, trials: t.Sequence[str], done: t.Callable[[], t.Collection[str]]
    ) -> None:
        try:
            from execo_engine.sweep import ParamSweeper
        except ImportError:
            raise missing_library("execo_engine", what="an experiment") from None
        self._directory = directory
        self._runner = runner or "only"
        self._order = {trial: number for number, trial in enumerate(trials)}
        os.makedirs(self._path("runners"), mode=0o700, exist_ok=True)
        self._own = open(self._path("runners", self._runner), "a+", encoding="utf-8")  # noqa: SIM115 - until it is closed
        with self.alone():
            try:
                fcntl.flock(self._own, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._own.close()
                who = f"the runner {runner!r}" if runner else "another run"
                raise InputError(
                    f"{os.path.dirname(directory)}: {who} is at work on this experiment; runs that share it are named"
                    " in 'runners' of its file, each with deployments of its own"
                ) from None
            self._sweeper = ParamSweeper(self._path("sweeper"), list(trials), name="experiment")
            self._believe(set(done()))

    def close(self) -> None:
        """Give back what was not done, and let another run have this runner's name."""
        with self.alone():
            self._claim("")
        self._own.close()

    def next(self, preferred: t.Callable[[str], bool]) -> str | None:
        """The trial that is this runner's now; ``None`` if none is left.

        :param preferred: those that come before all others.
        """
        with self.alone():
            self._sweeper.full_update()
            alive = self._taken()
            for trial in self._sweeper.get_inprogress() - alive:
                self._sweeper.cancel(trial)
            trial = self._sweeper.get_next(
                lambda left: sorted(left, key=lambda each: (not preferred(each), self._order[each]))
            )
            self._claim(trial or "")
            return t.cast("str | None", trial)

    def done(self, trial: str) -> None:
        """It is never to be run again."""
        with self.alone():
            self._sweeper.done(trial)
            self._claim("")

    def skip(self, trial: str) -> None:
        """This run does not want it any more; the next one does."""
        with self.alone():
            self._sweeper.skip(trial)
            self._claim("")

    @property
    def left(self) -> list[str]:
        """Those that are not done yet, in order."""
        done = self._sweeper.get_done()
        return [trial for trial in self._order if trial not in done]

    def _path(self, *parts: str) -> str:
        return os.path.join(self._directory, *parts)

    def _believe(self, done: set[str]) -> None:
        """Results may have been removed, to be measured again, or the last ones been written before a kill."""
        if self._sweeper.get_done() - done:
            os.unlink(self._path("sweeper", "done"))
            self._sweeper.full_update()
        self._sweeper.done_batch(done - self._sweeper.get_done())

    @contextmanager
    def alone(self) -> t.Iterator[None]:
        """While nobody else who shares the experiment writes what all of them do."""
        with open(self._path("lock"), "a", encoding="utf-8") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def _claim(self, trial: str) -> None:
        self._own.seek(0)
        self._own.truncate()
        self._own.write(trial)
        self._own.flush()

    def _taken(self) -> set[str]:
        """What other runners have that are alive."""
        found = set()
        for name in os.listdir(self._path("runners")):
            if name == self._runner:
                continue
            with open(self._path("runners", name), encoding="utf-8") as stream:
                try:
                    fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    found.add(stream.read())
        return found
