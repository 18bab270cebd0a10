# SPDX-License-Identifier: GPL-3.0-or-later
"""An OAR in memory, which can be told to misbehave, and a clock for it that does not wait."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.immutable.compose.plugins.module_utils.oar.base import Reservations, Unanswered
from ansible_collections.immutable.compose.plugins.module_utils.oar.job import Event, Job, OarError
from ansible_collections.immutable.compose.plugins.module_utils.oar.request import Request, hms

NOW = 1_800_000_000.0
#: A job that was deleted has these, in this order.
DELETED = (
    Event("FRAG_JOB_REQUEST", "User alice requested to frag the job"),
    Event("SWITCH_INTO_ERROR_STATE", "[bipbip] Ask to change the job state"),
)


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = NOW
        #: Called with each second.
        self.then: dict[int, t.Callable[[], None]] = {}

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for second in sorted(self.then):
            if NOW + second <= self.now:
                self.then.pop(second)()

    def at(self, second: int, act: t.Callable[[], None]) -> None:
        """Do something so many seconds from the beginning."""
        self.then[second] = act


class Site(Reservations):
    """Jobs that wait until somebody changes them."""

    where = "alice@frontend"
    user = "alice"

    def __init__(self) -> None:
        self.all: dict[int, Job] = {}
        self.calls: list[str] = []
        #: Call → error that it raises before or after it has done something.
        self.before: dict[str, Exception] = {}
        self.after: dict[str, Exception] = {}
        self.during_submit: t.Callable[[], None] = lambda: None

    def add(self, name: str = "web", state: str = "Running", **others: t.Any) -> Job:
        """A job that is there."""
        id_ = len(self.all) + 1
        start = int(NOW) if state == "Running" else None
        wanted = f'-l "/network_address={others.pop("asked", 2)},walltime=1:0:0"'
        known = {"user": "alice", "walltime": 3600, "types": ("deploy",), "start": start, "wanted": wanted, **others}
        self.all[id_] = Job(id=id_, name=name, state=state, **known)
        return self.all[id_]

    def change(self, id_: int, **fields: t.Any) -> None:
        self.all[id_] = dataclasses.replace(self.all[id_], **fields)

    def run(self, id_: int) -> None:
        self.change(id_, state="Running", nodes=("node-1", "node-2"), start=int(NOW))

    def live(self) -> list[int]:
        return [id_ for id_, job in self.all.items() if not job.ended]

    def jobs(self, user: str | None = None) -> list[Job]:
        with self._call("jobs"):
            return [job for job in self.all.values() if job.user == (user or self.user) and not job.ended]

    def job(self, id_: int) -> Job | None:
        with self._call("job"):
            return self.all.get(id_)

    def submit(self, request: Request) -> int:
        with self._call("submit"):
            self.during_submit()
            wanted = f'-l "{request.resources}"'
            job = self.add(
                request.name, "Waiting", walltime=request.walltime, types=request.types, wanted=wanted, message="J=B"
            )
            return job.id

    def extend(self, job: Job, more: int) -> None:
        with self._call("extend"):
            walltime = (self.all[job.id].walltime or 0) + more
            words = f"walltime changed: {hms(walltime)} (granted: +{hms(more)}/pending: 0:0:0)"
            self.change(job.id, walltime=walltime, events=(Event("WALLTIME", words),))

    def release(self, job: Job) -> None:
        with self._call("release"):
            if job.id not in self.all:
                raise OarError("there is no such job")
            self.change(job.id, state="Error", events=DELETED)

    def _call(self, name: str) -> _Call:
        return _Call(self, name)


class _Call:
    """One call: it is counted, and comes to harm as somebody wished."""

    def __init__(self, site: Site, name: str) -> None:
        self._site, self._name = site, name

    def __enter__(self) -> None:
        self._site.calls.append(self._name)
        if self._name in self._site.before:
            raise self._site.before.pop(self._name)

    def __exit__(self, *error: object) -> None:
        if self._name in self._site.after:
            raise self._site.after.pop(self._name)


LOST = Unanswered("the connection was closed")
