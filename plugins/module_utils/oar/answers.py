# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What OAR and its APIs answer, as far as it is looked at. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..model.answer import Part, Word
from .base import as_text
from .job import Event, Job, sorted_nodes, state_of


@dataclass(frozen=True)
class ToldEvent(Part):
    """Something that happened to a job."""

    type: Word | None = None
    description: Word | None = None


@dataclass(frozen=True)
class Resource(Part):
    """Part of a node."""

    network_address: str


@dataclass(frozen=True)
class Resources(Part):
    """Of ``/jobs/ID/nodes.json``."""

    items: list[Resource] = field(default_factory=list)


@dataclass(frozen=True)
class Listed(Part):
    """A job in a list, or one that was submitted."""

    id: int
    name: Word | None = None


@dataclass(frozen=True)
class Jobs(Part):
    """Of ``/jobs.json``."""

    items: list[Listed] = field(default_factory=list)


@dataclass(frozen=True)
class ToldJob(Part):
    """What the commands and both APIs say in the same words."""

    state: str
    name: Word | None = None
    walltime: int | None = None
    queue: Word | None = None
    types: list[str] | None = None
    properties: Word | None = None
    project: Word | None = None
    message: Word | None = None
    events: list[ToldEvent] | None = None
    wanted_resources: Word | None = None
    initial_request: Word | None = None

    def job(self, id_: int, user: Word | None, nodes: t.Iterable[str], *starts: int | None) -> Job:
        """With what each of them says in its own words.

        :param starts: when it began, or is going to: the first that is said counts.
        """
        return Job(
            id=id_,
            name=as_text(self.name),
            user=as_text(user),
            state=state_of(self.state),
            walltime=self.walltime or None,
            nodes=sorted_nodes(nodes),
            queue=as_text(self.queue),
            types=tuple(self.types or ()),
            properties=as_text(self.properties),
            project=as_text(self.project),
            start=next(filter(None, starts), None),
            message=as_text(self.message),
            events=tuple(Event(as_text(event.type), as_text(event.description)) for event in self.events or ()),
            wanted=as_text(self.wanted_resources),
            command_line=as_text(self.initial_request),
        )


@dataclass(frozen=True)
class CommandJob(Part):
    """Besides, ``oarstat -f -J``."""

    # As the command spells it.
    Job_Id: int  # pylint: disable=invalid-name
    owner: Word | None = None
    startTime: int | None = None  # pylint: disable=invalid-name
    scheduledStart: int | None = None  # pylint: disable=invalid-name
    assigned_network_address: list[str] | None = None
    reserved_resources: dict[str, Resource] | None = None

    @property
    def nodes(self) -> list[str]:
        """Those that it has, or that are kept for it."""
        reserved = self.reserved_resources or {}
        return self.assigned_network_address or [resource.network_address for resource in reserved.values()]


@dataclass(frozen=True)
class RestJob(Part):
    """Besides, ``/jobs/ID.json``."""

    id: int
    owner: Word | None = None
    start_time: int | None = None
    scheduled_start: int | None = None


@dataclass(frozen=True)
class GridJob(Part):
    """Besides, the API of Grid'5000."""

    uid: int
    user: Word | None = None
    user_uid: Word | None = None
    started_at: int | None = None
    scheduled_at: int | None = None
    assigned_nodes: list[str] | None = None
