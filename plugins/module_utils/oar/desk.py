# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A reservation from the wish to its end: found again by its name, waited for, extended, released. PRIVATE."""

from __future__ import annotations

import dataclasses
import time
import typing as t
from contextlib import suppress
from dataclasses import dataclass

from ..errors import ComposeError, InputError
from ..progress import Progress, listed
from .base import NotAdmitted, Reservations, Unanswered
from .job import Job, OarError, moment, require_same
from .request import Request, hms

#: Seconds between two looks at a job: at first, and at most. A look costs the server a second.
_FIRST, _MOST = 2.0, 30.0
#: Seconds that a site may not answer while a job is waited for.
_SILENCE = 300.0
#: States of a job that is to run.
_BEFORE = ("Waiting", "Hold", "toLaunch", "toAckReservation", "Launching")
#: Seconds for a job that was released or extended, beyond which nobody waits.
_SOON = 120.0


class Abandoned(OarError):
    """Nobody waits for this process any more; the job stays, for whoever asks for it next."""


class Ended(OarError):
    """A job ended before it ran: there is nothing to release."""


class Interrupted(ComposeError):
    """Somebody ends this process."""


@dataclass(frozen=True)
class Outcome:
    """What became of a wish."""

    #: ``None``: there is no job, or there would be one.
    job: Job | None
    changed: bool
    #: The job before; ``None``: there was none.
    before: Job | None = None


class Desk:
    """Where reservations are made and given back.

    :param site: whom to ask.
    :param dry: nothing is done; it is said what would be.
    :param alone: whether the run is gone that this is for: the next one may have what was reserved here.
    """

    def __init__(
        self, site: Reservations, progress: Progress, *, dry: bool = False, alone: t.Callable[[], bool] = lambda: False
    ) -> None:
        self._site = site
        self._progress = progress
        self._dry = dry
        self._alone = alone

    # -- reserving -----------------------------------------------------------------------------------------------

    def reserve(self, request: Request, *, extend: bool = False, wait: float | None = None) -> Outcome:
        """There is a job of that name: the one that is there, or a new one.

        :param extend: a job that is there and has less time is given more.
        :param wait: seconds for it to run; ``None``: nobody waits. A job that was submitted here and does not run in
            time, or is not waited for to the end, is released again.
        :raises InputError: a job of that name is there and is not what is asked for.
        """
        found = self._found(request.name)
        if found is None:
            return self._new(request, wait)
        # What is too short now may be given more time.
        require_same(request, found, but="walltime" if extend else "")
        more = request.walltime - (found.walltime or request.walltime)
        if extend and more < 0:
            require_same(request, found)
        if self._dry:
            longer = dataclasses.replace(found, walltime=request.walltime)
            return Outcome(longer if extend and more > 0 else found, extend and more > 0, found)
        job = found if wait is None else self._running(found, wait)
        if extend and more > 0:
            job = self._extended(job, request.walltime)
        return Outcome(job, extend and more > 0, found)

    def _found(self, name: str) -> Job | None:
        """The one job of that name."""
        jobs = self._site.named(name)
        if len(jobs) > 1:
            raise InputError(
                f"{len(jobs)} jobs of {self._site.user} are named {name!r}: {listed(str(job.id) for job in jobs)}; "
                "expected one at most. Release all but one (state: absent, with job_id)"
            )
        return jobs[0] if jobs else None

    def _new(self, request: Request, wait: float | None) -> Outcome:
        if self._dry:
            return Outcome(None, True)
        self._progress.say(f"reserving {request.name} at {self._site.where}: {request}")
        ours = self._submit(request)
        try:
            job = self._only(request, ours)
            if wait is not None:
                job = self._running(job, wait)
        except (Abandoned, Ended):
            raise
        except BaseException as error:
            if isinstance(error, Interrupted) or not self._alone():
                self._give_back(ours, request.name, error)
            raise
        return Outcome(job, job.id == ours, None if job.id == ours else job)

    def _submit(self, request: Request) -> int:
        """The id of a new job, also if the answer is lost that says it."""
        try:
            return self._site.submit(request)
        except (Unanswered, Interrupted) as lost:
            job = None
            with suppress(ComposeError):
                job = self._found(request.name)
            if job is None:
                raise lost from None
            if isinstance(lost, Interrupted):
                self._give_back(job.id, job.name, lost)
                raise lost from None
            return job.id

    def _only(self, request: Request, ours: int) -> Job:
        """The one job of that name, where somebody else may have asked for it at the same time.

        The oldest stays: all who ask see it.
        """
        jobs = self._site.named(request.name)
        if not jobs:  # ours has ended already
            return self._look(ours)
        self._progress.say(f"{jobs[0]} is submitted" + ("" if jobs[0].id == ours else ", by somebody else meanwhile"))
        for job in jobs[1:]:
            self._progress.say(f"{job} is released: job {jobs[0].id} has that name already")
            self._site.release(job)
        if jobs[0].id != ours:
            require_same(request, jobs[0])
        return jobs[0]

    def _give_back(self, id_: int, name: str, error: BaseException) -> None:
        """Release a job of which nothing came, and say so; or say what still runs."""
        job = Job(id_, name, self._site.user, "Waiting")
        note = f"{job} is released"
        try:
            self._site.release(job)
        except ComposeError as failed:
            note = f"{job} could not be released ({failed.message}) and {self._holds(job)}"
        self._progress.say(note)
        if isinstance(error, ComposeError):
            error.message += f". {note}"

    # -- waiting -------------------------------------------------------------------------------------------------

    def _running(self, job: Job, seconds: float) -> Job:
        """The job once it runs.

        :param seconds: from now, or from the start that it was promised.
        :raises OarError: it does not run in time, or has ended.
        """
        begin = time.time()
        if job.start is not None and "J=R" in job.message:
            begin = max(begin, job.start)
        job = self._until(job, lambda now: now.state == "Running" or now.ended, begin + seconds)
        if job.ended:
            raise Ended(f"{job} ended before it ran: {_history(job)}", step="wait")
        if job.state != "Running":
            raise OarError(f"{job} is not running after {seconds:.0f} s (timeout): it is {_prospect(job)}", step="wait")
        return job

    def _until(self, job: Job, reached: t.Callable[[Job], bool], end: float) -> Job:
        """Look at a job until it is there, or time is over; what was seen last."""
        seen = job
        answered = time.monotonic()
        began = time.time()
        with self._progress.waiting(lambda: f"{seen} is {_prospect(seen)}"):
            while not reached(seen) and time.time() < end:
                pause = min(max(_FIRST, (time.time() - began) / 10), _MOST)
                time.sleep(max(0.0, min(pause, end - time.time())))
                if self._alone():
                    raise Abandoned("the run that waited is gone", step="wait")
                try:
                    seen = self._look(job.id)
                    answered = time.monotonic()
                except NotAdmitted:
                    raise
                except Unanswered:
                    if time.monotonic() - answered > _SILENCE:
                        raise
        return seen

    def _look(self, id_: int) -> Job:
        job = self._site.job(id_)
        if job is None:
            raise OarError(f"{self._site.where} does not know job {id_}", step="wait")
        return job

    # -- extending -----------------------------------------------------------------------------------------------

    def _extended(self, job: Job, walltime: int) -> Job:
        """The job once it has that walltime, of which it has less."""
        if job.state != "Running":
            raise OarError(
                f"{job} is {job.state.lower()}, and OAR gives more time to running jobs only; wait for it (wait: true)",
                step="extend",
            )
        self._site.extend(job, walltime - (job.walltime or 0))
        self._progress.say(f"{job} is to have {hms(walltime)}")
        job = self._until(job, lambda now: (now.walltime or 0) >= walltime or now.ended, time.time() + _SOON)
        if (job.walltime or 0) < walltime:
            raise OarError(
                f"{job} was not given the time within {_SOON:.0f} s: it has {hms(job.walltime or 0)} of "
                f"{hms(walltime)}; other jobs may have its nodes after it. OAR still gives it what it can",
                step="extend",
            )
        return job

    # -- releasing -----------------------------------------------------------------------------------------------

    def release(self, name: str | None, id_: int | None = None, *, wait: bool = True) -> Outcome:
        """There is no job of that name, or of that id.

        :param wait: until its nodes are free.
        """
        job = self._site.job(id_) if id_ is not None else self._ending(name or "")
        if job is None or job.ended:
            return Outcome(job, False, job)
        if self._dry:
            return Outcome(job, not job.ending, job)
        changed = not job.ending
        if changed:
            try:
                self._site.release(job)
            except ComposeError as error:
                error.message += f". {job} {self._holds(job)}"
                raise
            self._progress.say(f"{job} is released")
        after = job
        if wait:
            after = self._until(job, lambda now: now.ended, time.time() + _SOON)
            if not after.ended:
                raise OarError(f"{job} was released and did not end within {_SOON:.0f} s: it {self._holds(after)}")
        return Outcome(after, changed, job)

    def _ending(self, name: str) -> Job | None:
        """The job of that name, or else one that is about to end."""
        return self._found(name) or next((job for job in self._site.jobs() if job.name == name), None)

    def _holds(self, job: Job) -> str:
        """What a job has that was not released."""
        with suppress(ComposeError):
            job = self._site.job(job.id) or job
        until = f" until {moment(job.end)}" if job.end and job.state == "Running" else ""
        nodes = f" with {listed(job.nodes)}" if job.nodes else ""
        return f"is still {job.state.lower()} at {self._site.where}{nodes}{until}"


def _prospect(job: Job) -> str:
    """What a job is, and what becomes of it."""
    words = job.state.lower()
    if job.state not in _BEFORE:
        return words
    if job.start is None:
        return f"{words}, no start is predicted yet" + (f" ({job.message})" if job.message else "")
    return f"{words}, predicted start {moment(job.start)}"


def _history(job: Job) -> str:
    """How a job ended, in OAR's words."""
    said = [f"{event.kind}: {event.words}".strip(": ") for event in job.events[-4:]]
    return "; ".join([f"state {job.state}", *([job.message] if job.message else []), *said])
