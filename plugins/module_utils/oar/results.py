# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules about OAR return. PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass, field

from .job import Job, moment


@dataclass(frozen=True)
class ShownEvent:
    """Something that happened to a job."""

    type: str
    description: str


@dataclass(frozen=True)
class ShownJob:
    """A job, as users of the modules see it: documented in `oar_job`."""

    id: int
    name: str
    user: str
    state: str
    ended: bool
    nodes: list[str]
    #: Seconds.
    walltime: int | None
    start: str | None
    end: str | None
    queue: str
    types: list[str]
    properties: str
    project: str
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

    changed: bool
    job: ShownJob | None
    #: What has changed, as Ansible shows it.
    diff: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Listed:
    """Result of `oar_job_info`."""

    jobs: list[ShownJob]
    changed: bool = False
