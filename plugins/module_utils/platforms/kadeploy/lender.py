# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The job of OAR that has the machines of a deployment. PRIVATE to the collection."""

from __future__ import annotations

import math
import os
import time
import typing as t
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from ...errors import ComposeError, InputError
from ...model import codec
from ...model.deployment import Reservation
from ...oar.access import Access
from ...oar.base import Reservations
from ...oar.desk import Desk
from ...oar.job import Job, moment
from ...oar.request import Request, request
from ...progress import Progress, listed

#: Of the state directory.
_FILE = "reservation.json"
#: Seconds between two looks at a job that had its machines.
_LOOK = 30.0


@dataclass(frozen=True)
class Lent:
    """The machines of a job, in the file ``reservation.json`` of the state directory."""

    job: int
    machines: tuple[str, ...]
    schema: t.Literal["immutable.compose/reservation/1"] = "immutable.compose/reservation/1"


class Lender:
    """:param user: with ``password``, for interfaces that want them.
    :param disks: scratch disks that each machine must have.
    """

    def __init__(
        self, wanted: Reservation, state: str, user: str, password: str, progress: Progress, disks: int = 0
    ) -> None:
        self.wanted = wanted
        self._disks = disks
        self._path = os.path.join(state, _FILE)
        self._user = user if password else ""
        self._password = password
        self._progress = progress
        self._looked, self._held = -math.inf, True

    @property
    def machines(self) -> tuple[str, ...]:
        """Those of the job, as of when it was last looked at."""
        with suppress(FileNotFoundError):
            return codec.read(Lent, self._path).machines
        return ()

    @cached_property
    def _request(self) -> Request:
        wanted = self.wanted
        return request(
            name=wanted.name,
            nodes=wanted.nodes,
            walltime=wanted.walltime,
            start=wanted.start or None,
            types=wanted.types,
            properties=wanted.properties,
            queue=wanted.queue,
            project=wanted.project,
            disks=max(1, self._disks) if wanted.disks else 0,
        )

    @cached_property
    def _site(self) -> Reservations:
        wanted = self.wanted
        logs_in = wanted.interface != "command"
        return Access(
            interface=wanted.interface,
            frontend=wanted.frontend,
            ssh_config=wanted.ssh_config,
            url=wanted.url,
            site=wanted.site,
            ca_file=wanted.ca_file,
            username=self._user if logs_in else "",
            password=self._password if logs_in else "",
        ).open()

    def check(self) -> None:
        """Refuse what cannot be reserved, as far as that is known before.

        :raises ComposeError: OAR cannot be asked, or has a job of that name that is another.
        """
        Desk(self._site, self._progress, dry=True).reserve(self._request)

    def left(self) -> float:
        """Seconds until the job is over; without end where OAR does not say. 0: there is no job that runs."""
        try:
            running = [job for job in self._site.named(self.wanted.name) if job.state == "Running"]
        except ComposeError as error:  # going back must not depend on it
            self._progress.say(f"how long {self.wanted.name} still has its machines cannot be told: {error.message}")
            return math.inf
        return min((max(0.0, job.end - time.time()) if job.end else math.inf for job in running), default=0.0)

    def holds(self) -> bool:
        """Whether the job still has its machines."""
        return any(job.state == "Running" for job in self._site.named(self.wanted.name))

    def still_holds(self) -> bool:
        """The same, as of half a minute ago at most: OAR is not asked each second."""
        if time.monotonic() - self._looked > _LOOK:
            with suppress(ComposeError):  # OAR does not answer: what was true is
                self._held = self.holds()
            self._looked = time.monotonic()
        return self._held

    def acquire(self) -> bool:
        """There is a job that runs; whether it is new."""
        outcome = Desk(self._site, self._progress).reserve(self._request, wait=self.wanted.timeout)
        job = t.cast(Job, outcome.job)
        lent = Lent(job.id, job.nodes)
        until = f", until {moment(job.end)}" if job.end else ""
        self._progress.say(f"{job} has {listed(job.nodes)}{until}")
        if not os.path.exists(self._path) or codec.read(Lent, self._path) != lent:
            codec.write(self._path, lent)
        return outcome.changed

    def lent(self) -> list[Job]:
        """The jobs that :meth:`release` would end."""
        return self._site.named(self.wanted.name)

    def release(self) -> bool:
        """There is no such job any more; whether there was. :raises ComposeError: says what still runs."""
        outcome = Desk(self._site, self._progress).release(self.wanted.name)
        with suppress(FileNotFoundError):
            os.unlink(self._path)
        return outcome.changed


def require_none(state: str) -> None:
    """Refuse a deployment that has a job, and does not say so any more: nobody else knows whose it is.

    :raises InputError: names the job.
    """
    with suppress(FileNotFoundError):
        job = codec.read(Lent, os.path.join(state, _FILE)).job
        raise InputError(
            f"the deployment has job {job} for its machines, but its file has no reservation any more: put it back, "
            "and destroy the deployment to give the machines back first"
        )
