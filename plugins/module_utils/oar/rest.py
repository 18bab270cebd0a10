# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OAR by its own REST API. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ..errors import InputError
from ..libraries import missing_library
from .base import NotAdmitted, Reservations, Unanswered, as_text, innermost
from .job import Event, Job, sorted_nodes, state_of
from .request import Request, hms
from .words import passed_on, refused

if t.TYPE_CHECKING:
    import requests

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
        self.where = f"{self._url} ({self.user})"

    def jobs(self, user: str | None = None) -> list[Job]:
        query = {"user": user or self.user, "limit": str(_LIMIT)}
        listed = self._call("ask", "asking for jobs", "GET", "/jobs.json", query=query)
        ids = sorted(int(item["id"]) for item in listed.get("items", ()))
        return [job for job in map(self.job, ids) if job is not None]

    def named(self, name: str) -> list[Job]:
        # The list has names, but no more than that.
        query = {"user": self.user, "limit": str(_LIMIT)}
        listed = self._call("ask", "asking for jobs", "GET", "/jobs.json", query=query)
        ids = sorted(int(item["id"]) for item in listed.get("items", ()) if item.get("name") == name)
        return [job for job in map(self.job, ids) if job is not None and not job.ending]

    def job(self, id_: int) -> Job | None:
        data = self._call("ask", f"asking for job {id_}", "GET", f"/jobs/{id_}.json", missing=True)
        if not data:
            return None
        nodes = self._call("ask", f"asking for the nodes of job {id_}", "GET", f"/jobs/{id_}/nodes.json")
        return _job(data, [item["network_address"] for item in nodes.get("items", ())])

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
        return int(told["id"])

    def extend(self, job: Job, more: int) -> None:
        body = {"method": "walltime-change", "walltime": f"+{hms(more)}"}
        self._call("extend", f"giving {job} {hms(more)} more", "POST", f"/jobs/{job.id}.json", body=body)

    def release(self, job: Job) -> None:
        self._call("release", f"releasing {job}", "DELETE", f"/jobs/{job.id}.json", done="was already killed")

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
    ) -> dict[str, t.Any]:
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
    ) -> dict[str, t.Any]:
        try:
            told = answer.json()
        except ValueError:
            told = None
        if answer.ok and isinstance(told, dict):
            return told
        if answer.status_code in (401, 403) and (told is None or step == "connect"):
            raise NotAdmitted(
                f"OAR's API at {self.where} does not accept the user or the password (HTTP {answer.status_code})",
                step=step,
            )
        if not isinstance(told, dict) or "message" not in told:
            words = f"HTTP {answer.status_code}, and no answer of OAR"
            raise Unanswered(f"{what} at {self.where}: {words}; is url the address of OAR's API?", step=step)
        if missing and answer.status_code == 404:
            return {}
        command, code, said = passed_on(as_text(told["message"]))
        if done and done in said:
            return {}
        how = command or f"HTTP {answer.status_code}"
        raise refused(step, what, self.where, how, code, said, asked=asked)


def _job(data: t.Mapping[str, t.Any], nodes: t.Iterable[str]) -> Job:
    """A job as ``/jobs/ID.json`` shows it."""
    start = data.get("start_time") or data.get("scheduled_start")
    return Job(
        id=int(data["id"]),
        name=as_text(data.get("name")),
        user=as_text(data.get("owner")),
        state=state_of(as_text(data.get("state"))),
        walltime=int(data["walltime"]) if data.get("walltime") else None,
        nodes=sorted_nodes(nodes),
        queue=as_text(data.get("queue")),
        types=tuple(data.get("types") or ()),
        properties=as_text(data.get("properties")),
        project=as_text(data.get("project")),
        start=int(start) if start else None,
        message=as_text(data.get("message")),
        events=tuple(
            Event(as_text(event.get("type")), as_text(event.get("description"))) for event in data.get("events") or ()
        ),
        wanted=as_text(data.get("wanted_resources")),
        command_line=as_text(data.get("initial_request")),
    )
