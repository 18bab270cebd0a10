# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules about OAR return. PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..model.step import Diff
from .job import Job, moment


@dataclass(frozen=True)
class ShownEvent:
    """Something that happened to a job."""

    #: As OAR calls it.
    type: str
    #: As OAR describes it.
    description: str


@dataclass(frozen=True)
class ShownJob:
    """A job, as users of the modules see it: documented in `oar_job`."""

    #: Number of the job.
    id: int
    name: str
    #: Whose it is.
    user: str
    #: As OAR calls it.
    state: str
    #: Whether it holds nothing any more.
    ended: bool
    #: Nodes that it has, or is going to have: they do not mean that it runs.
    nodes: list[str]
    #: Seconds; null where OAR does not say.
    walltime: int | None
    #: Since when it runs, or when OAR means to start it, ``2027-01-30 18:00:00 UTC``; null where OAR does not say.
    start: str | None
    #: When its time is over; null while the start is not known.
    end: str | None
    queue: str
    types: list[str]
    #: What its nodes must be, with what the site has added.
    properties: str
    project: str
    #: What OAR says about it.
    message: str
    events: list[ShownEvent]

    @classmethod
    def of(cls, job: Job) -> ShownJob:
        return cls(
            id=job.id,
            name=job.name,
            user=job.user,
            state=job.state,
            ended=job.ended,
            nodes=list(job.nodes),
            walltime=job.walltime,
            start=moment(job.start) if job.start else None,
            end=moment(job.end) if job.end else None,
            queue=job.queue,
            types=list(job.types),
            properties=job.properties,
            project=job.project,
            message=job.message,
            events=[ShownEvent(event.kind, event.words) for event in job.events],
        )


@dataclass(frozen=True)
class Reserved:
    """Result of `oar_job`."""

    #: Whether anything was done, or in check mode would be.
    changed: bool
    #: The job; null if there is none.
    job: ShownJob | None
    diff: list[Diff] = field(default_factory=list)


@dataclass(frozen=True)
class Listed:
    """Result of `oar_job_info`."""

    #: In order of their numbers.
    jobs: list[ShownJob]
    #: Never.
    changed: bool = False
