# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OAR by the API of Grid'5000. PRIVATE to the collection."""

from __future__ import annotations

import getpass
import os
import typing as t

from ..errors import InputError
from ..libraries import missing_library
from ..model.answer import WrongAnswer, answer
from ..model.free import Parameters
from .answers import GridJob, ToldJob
from .base import NotAdmitted, Reservations, Unanswered, as_text, innermost
from .job import Job, OarError
from .request import Request, hms
from .words import passed_on, refused

T = t.TypeVar("T")

#: Where the API is, for whoever does not say.
URL = "https://api.grid5000.fr/stable"
#: Seconds for one call.
_TIMEOUT = 120.0
#: Jobs in one answer, at most.
_LIMIT = 500
#: What the API says where something else did not answer it.
_TRANSIENT = (500, 502, 503, 504)
#: What the library ends with, besides its own errors and those of requests, where an answer is not as it should be.
MALFORMED = (AttributeError, KeyError, TypeError, ValueError, RecursionError)


class Grid5000Api(Reservations):
    """The jobs of a site, by the library ``python-grid5000``.

    :param site: name of the site, such as ``grenoble``.
    :param username: with ``password``; empty inside Grid'5000, where the API knows who calls.
    :param ca_file: certificates of the authorities that the API's own may be signed by; empty: those of this host.
    """

    def __init__(self, site: str, username: str = "", password: str = "", url: str = URL, ca_file: str = "") -> None:
        try:
            import grid5000
            import requests
            from grid5000 import exceptions
        except ImportError:
            raise missing_library("grid5000", "requests", what="the API of Grid'5000") from None
        if ca_file and not os.path.exists(ca_file):
            raise InputError(f"ca_file: {ca_file} does not exist")
        self._library = exceptions
        self._unanswered: tuple[type[Exception], ...] = (requests.RequestException, exceptions.Grid5000ParsingError)
        self.user = username or getpass.getuser()
        self.where = f"{url} of Grid'5000, site {site} ({self.user})"
        client = grid5000.Grid5000(
            uri=url.rstrip("/"),
            username=username or None,
            password=password or None,
            verify_ssl=ca_file or None,
            timeout=_TIMEOUT,
        )
        self._site = self._call("connect", f"asking for the site {site!r}", lambda: client.sites[site])

    def jobs(self, user: str | None = None) -> list[Job]:
        return self._listed(user=user or self.user)

    def named(self, name: str) -> list[Job]:
        return [job for job in self._listed(user=self.user, name=name) if job.name == name and not job.ending]

    def job(self, id_: int) -> Job | None:
        def ask() -> t.Any:
            return self._site.jobs[str(id_)].to_dict()

        try:
            return self._job(self._call("ask", f"asking for job {id_}", ask))
        except _Missing:
            return None

    def submit(self, request: Request) -> int:
        body: dict[str, t.Any] = {
            "name": request.name,
            "resources": request.resources,
            "command": request.command,
            "types": list(request.types),
            "properties": request.properties,
            "queue": request.queue,
            "reservation": request.start,
            "project": request.project,
        }
        body = {key: value for key, value in body.items() if value}
        what = f"reserving {request.name!r}"
        made = self._call("reserve", what, lambda: self._site.jobs.create(body).to_dict(), asked=request)
        return self._told(GridJob, made).uid

    def extend(self, job: Job, more: int) -> None:
        body = {"walltime": f"+{hms(more)}"}
        what = f"giving {job} {hms(more)} more"
        self._call("extend", what, lambda: self._site.jobs[str(job.id)].walltime_change.create(body))

    def release(self, job: Job) -> None:
        try:
            self._call("release", f"releasing {job}", lambda: self._site.jobs.delete(str(job.id)))
        except OarError as error:
            if "already killed" not in error.message:
                raise

    def _listed(self, **query: str) -> list[Job]:
        """The jobs that have not ended, each asked for by itself: the list has no nodes."""
        items = self._call(
            "ask",
            "asking for jobs",
            lambda: [item.to_dict() for item in self._site.jobs.list(limit=_LIMIT, **query)],
        )
        live = [job for job in map(self._job, items) if not job.ended]
        return [job for job in map(self.job, sorted(job.id for job in live)) if job is not None]

    def _job(self, data: Parameters) -> Job:
        own = self._told(GridJob, data)
        user = own.user or own.user_uid
        return self._told(ToldJob, data).job(own.uid, user, own.assigned_nodes or (), own.started_at, own.scheduled_at)

    def _told(self, type_: type[T], data: Parameters) -> T:
        """An answer as a type. :raises Unanswered: it is none."""
        try:
            return answer(type_, data, self.where)
        except WrongAnswer as error:
            raise Unanswered(error.message) from None

    def _call(self, step: str, what: str, ask: t.Callable[[], t.Any], *, asked: t.Any = "") -> t.Any:
        try:
            return ask()
        except self._library.Grid5000AuthenticationError:
            raise NotAdmitted(f"{self.where} does not accept the user or the password (HTTP 401)", step=step) from None
        except self._unanswered as error:
            raise Unanswered(f"{self.where} does not answer: {innermost(error)}", step=step) from None
        except MALFORMED as error:
            raise Unanswered(f"wrong answer: {self.where}, {what}: {error}", step=step) from None
        except self._library.Grid5000Error as error:
            text, status = as_text(error.error_message), error.response_code
        command, code, said = passed_on(text)
        refusal = refused(step, what, self.where, command or f"HTTP {status}", code, said, asked=asked)
        if status == 404:
            raise _Missing(refusal.message, step=step)
        if status in _TRANSIENT and not command:
            raise Unanswered(refusal.message, step=step)
        raise refusal


class _Missing(OarError):
    """There is no such thing."""
