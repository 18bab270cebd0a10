# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OAR by its own REST API. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ..errors import SHOWN, InputError
from ..libraries import missing_library
from ..model.answer import WrongAnswer, answer, json_of
from ..model.free import Parameters
from .answers import Jobs, Listed, Resources, RestJob, ToldJob
from .base import NotAdmitted, Reservations, Unanswered, as_text, innermost
from .job import Job
from .request import Request, hms
from .words import passed_on, refused

if t.TYPE_CHECKING:
    import requests

T = t.TypeVar("T")

#: Seconds for one call: it runs a command there.
_TIMEOUT = 120.0
#: Jobs of a user that are looked at.
_LIMIT = 1000


class RestApi(Reservations):
    """``oarapi``.

    :param url: its address, such as ``https://oar.example.org/oarapi-priv``.
    :param username: with ``password``, whom it asks for; empty where it knows who calls.
    :param ca_file: certificates of the authorities that its own may be signed by; empty: those of this host.
    """

    def __init__(self, url: str, username: str = "", password: str = "", ca_file: str = "") -> None:
        try:
            import requests
        except ImportError:
            raise missing_library("requests", what="the REST API of OAR") from None
        if not url.startswith(("http://", "https://")):
            raise InputError(f"url is {url!r}, expected the address of OAR's API, http://… or https://…")
        self._url = url.rstrip("/")
        self._session = requests.Session()
        self._session.auth = (username, password) if username else None
        if ca_file:
            self._session.verify = ca_file
        self._unanswered: type[Exception] = requests.RequestException
        self.where = f"{self._url} ({username})" if username else self._url
        self.user = as_text(self._call("connect", "asking who I am", "GET", "/whoami.json").get("authenticated_user"))
        if not self.user:
            raise NotAdmitted(f"OAR at {self._url} does not say who is asking: give username and password")
        self.where = f"{self._url} ({self.user[:SHOWN]})"

    def jobs(self, user: str | None = None) -> list[Job]:
        query = {"user": user or self.user, "limit": str(_LIMIT)}
        listed = self._told(Jobs, self._call("ask", "asking for jobs", "GET", "/jobs.json", query=query))
        ids = sorted(item.id for item in listed.items)
        return [job for job in map(self.job, ids) if job is not None]

    def named(self, name: str) -> list[Job]:
        # The list has names, but no more than that.
        query = {"user": self.user, "limit": str(_LIMIT)}
        listed = self._told(Jobs, self._call("ask", "asking for jobs", "GET", "/jobs.json", query=query))
        ids = sorted(item.id for item in listed.items if as_text(item.name) == name)
        return [job for job in map(self.job, ids) if job is not None and not job.ending]

    def job(self, id_: int) -> Job | None:
        data = self._call("ask", f"asking for job {id_}", "GET", f"/jobs/{id_}.json", missing=True)
        if not data:
            return None
        nodes = self._call("ask", f"asking for the nodes of job {id_}", "GET", f"/jobs/{id_}/nodes.json")
        places = [item.network_address for item in self._told(Resources, nodes).items]
        own = self._told(RestJob, data)
        return self._told(ToldJob, data).job(own.id, own.owner, places, own.start_time, own.scheduled_start)

    def submit(self, request: Request) -> int:
        body: dict[str, t.Any] = {
            "name": request.name,
            "resource": request.resources,
            "command": request.command,
            "type": list(request.types),
            "property": request.properties,
            "queue": request.queue,
            "reservation": request.start,
            "project": request.project,
        }
        body = {key: value for key, value in body.items() if value}
        told = self._call("reserve", f"reserving {request.name!r}", "POST", "/jobs.json", body=body, asked=request)
        return self._told(Listed, told).id

    def extend(self, job: Job, more: int) -> None:
        body = {"method": "walltime-change", "walltime": f"+{hms(more)}"}
        self._call("extend", f"giving {job} {hms(more)} more", "POST", f"/jobs/{job.id}.json", body=body)

    def release(self, job: Job) -> None:
        self._call("release", f"releasing {job}", "DELETE", f"/jobs/{job.id}.json", done="was already killed")

    def _told(self, type_: type[T], data: Parameters) -> T:
        """An answer as a type. :raises Unanswered: it is none."""
        try:
            return answer(type_, data, f"OAR's API at {self.where}")
        except WrongAnswer as error:
            raise Unanswered(error.message) from None

    def _call(
        self,
        step: str,
        what: str,
        method: str,
        path: str,
        *,
        query: t.Mapping[str, str] | None = None,
        body: t.Mapping[str, t.Any] | None = None,
        asked: t.Any = "",
        missing: bool = False,
        done: str = "",
    ) -> Parameters:
        """One call and its answer.

        :param missing: an answer that there is no such thing is an empty one.
        :param done: words of a refusal that says that this is done already.
        """
        try:
            answer = self._session.request(
                method, f"{self._url}{path}", params=query, json=body, timeout=_TIMEOUT, allow_redirects=False
            )
        except self._unanswered as error:
            raise Unanswered(f"OAR's API at {self.where} does not answer: {innermost(error)}", step=step) from None
        return self._read(step, what, answer, asked=asked, missing=missing, done=done)

    def _read(
        self, step: str, what: str, answer: requests.Response, *, asked: t.Any, missing: bool, done: str
    ) -> Parameters:
        try:
            told = json_of(answer.content, self.where)
        except WrongAnswer:
            told = None
        if answer.ok and isinstance(told, dict):
            return told
        if answer.status_code in (401, 403) and (told is None or step == "connect"):
            raise NotAdmitted(
                f"OAR's API at {self.where} does not accept the user or the password (HTTP {answer.status_code})",
                step=step,
            )
        if not isinstance(told, dict) or "message" not in told:
            words = f"HTTP {answer.status_code}, which is not an answer of OAR"
            raise Unanswered(f"{what} at {self.where}: {words}; is url the address of OAR's API?", step=step)
        if missing and answer.status_code == 404:
            return {}
        command, code, said = passed_on(as_text(told["message"]))
        if done and done in said:
            return {}
        how = command or f"HTTP {answer.status_code}"
        raise refused(step, what, self.where, how, code, said, asked=asked)
