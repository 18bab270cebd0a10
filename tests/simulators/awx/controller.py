# SPDX-License-Identifier: GPL-3.0-or-later
"""An AWX in small: answers what a real one was recorded to answer, and remembers what it is told.

``records/awx-24.6.2.jsonl`` has one request of each kind that the modules of ``awx.awx`` sent to a real AWX, with its
answer. A request is of a recorded kind if method, path (but for numbers) and names of query parameters were seen, and
all that it sends are fields that an answer there has. All others are answered with status 501 and kept in ``unknown``.
"""

from __future__ import annotations

import copy
import json
import re
import threading
import typing as t
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

Json = dict[str, t.Any]

RECORDS = Path(__file__).parent / "records" / "awx-24.6.2.jsonl"
API = "/api/v2/"
#: Kinds of objects that ``unified_job_templates`` lists.
UNIFIED = ("job_templates", "inventory_sources", "projects", "workflow_job_templates")
#: Kinds of requests that no recording knows, and why they are answered nevertheless: as the API is documented.
UNRECORDED = {
    "POST workflow_job_template_nodes/N/create_approval_template/": "the recorded workflow has no approval",
    "GET workflow_approval_templates/N/": "the approval of a node, when the playbook runs again",
    "GET workflow_job_templates/N/notification_templates_approvals/": "as the recorded notification_templates_error",
    "POST workflow_job_templates/N/notification_templates_approvals/": "as the recorded notification_templates_error",
}
#: Fields of an approval.
APPROVAL = {"type": "workflow_approval_template", "name": "", "description": "", "timeout": 0}


def kind_of(method: str, path: str, query: t.Iterable[str]) -> str:
    """A request without its values."""
    place = re.sub(r"/\d+/", "/N/", path.removeprefix(API))
    return " ".join([method, place, *sorted(query)])


class Controller:
    """:param playbooks: that the project has, once it is synced."""

    def __init__(self, playbooks: t.Collection[str]) -> None:
        self.playbooks = playbooks
        self.unknown: list[str] = []
        self.unrecorded: set[str] = set()
        #: Kind of objects → those that there are.
        self.objects: dict[str, list[Json]] = {}
        #: Path of a list of associated objects → their numbers.
        self.linked: dict[str, list[int]] = {}
        self.surveys: dict[str, Json] = {}
        self._records: dict[str, list[Json]] = {}
        self._updates: dict[str, list[Json]] = {}
        self._number = 100
        self._lock = threading.Lock()
        for line in RECORDS.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            names = [name for name, _value in parse_qsl(record["query"])]
            self._records.setdefault(kind_of(record["method"], record["path"], names), []).append(record)

    def seed(self, kind: str, **values: t.Any) -> Json:
        """Have an object that others have made."""
        return self._create(kind, values)

    def answer(self, method: str, path: str, query: str, body: Json | None) -> tuple[int, t.Any]:
        """Status and content."""
        with self._lock:
            asked = dict(parse_qsl(query))
            kind = kind_of(method, path, asked)
            if kind in UNRECORDED:
                self.unrecorded.add(kind)
            elif not self._known(kind, body or {}):
                self.unknown.append(f"{kind} {sorted(body or {})}")
                return 501, {"detail": f"no recording knows {kind} {sorted(body or {})}"}
            return self._act(method, path, asked, body or {}, self._records.get(kind, []))

    def _known(self, kind: str, body: Json) -> bool:
        fields: set[str] = set()
        for record in self._records.get(kind, ()):
            fields.update(record["body"] or ())
            if isinstance(record["answer"], dict):
                fields.update(record["answer"])
        return kind in self._records and fields.issuperset(body)

    # -- what it does --------------------------------------------------------------------------------------------

    def _act(self, method: str, path: str, asked: Json, body: Json, records: list[Json]) -> tuple[int, t.Any]:
        kind, *rest = path.removeprefix(API).strip("/").split("/")
        if records and all(record["status"] >= 400 for record in records):
            return records[0]["status"], records[0]["answer"]
        if kind == "tokens":
            return records[0]["status"], records[0]["answer"]
        if kind == "project_updates":
            return 200, self._update(rest[0], records)
        if not rest:
            return self._list(kind, asked) if method == "GET" else self._new(kind, body, records)
        if len(rest) == 1:
            found = next(each for each in self._all(kind) if each["id"] == int(rest[0]))
            if method == "PATCH":
                _merge(found, body)
            return 200, found
        if rest[1] == "update":
            return 202, self._sync(int(rest[0]), records[0])
        if rest[1] == "survey_spec":
            return 200, self._survey(method, path, body)
        if rest[1] == "create_approval_template":
            return 201, self._approval(int(rest[0]), body)
        return self._associated(method, path, rest[1], body)

    def _list(self, kind: str, asked: Json) -> tuple[int, Json]:
        found = [each for each in self._all(kind) if all(_matches(each, *item) for item in asked.items())]
        return 200, {"count": len(found), "next": None, "previous": None, "results": found}

    def _all(self, kind: str) -> list[Json]:
        if kind == "unified_job_templates":
            return [each for unified in UNIFIED for each in self.objects.get(unified, ())]
        return self.objects.get(kind, [])

    def _new(self, kind: str, body: Json, records: list[Json]) -> tuple[int, Json]:
        if kind == "job_templates" and not self._has_playbook(body):
            return next((record["status"], record["answer"]) for record in records if record["status"] == 400)
        return 201, self._create(kind, body)

    def _has_playbook(self, body: Json) -> bool:
        project = next(each for each in self.objects["projects"] if each["id"] == body["project"])
        return project["status"] == "successful" and body["playbook"] in self.playbooks

    def _create(self, kind: str, body: Json) -> Json:
        """As the recorded one, with another number and other values."""
        (record,) = [each for each in self._records[f"POST {kind}/"] if each["status"] == 201]
        self._number += 1
        text = json.dumps(record["answer"]).replace(f"/{kind}/{record['answer']['id']}/", f"/{kind}/{self._number}/")
        made: Json = {**json.loads(text), "id": self._number}
        for name in set(record["body"]) - set(body):
            made[name] = type(made[name])() if made[name] is not None else None
            made["related"].pop(name, None)
        _merge(made, body)
        self.objects.setdefault(kind, []).append(made)
        return made

    def _sync(self, project: int, record: Json) -> Json:
        """A sync that goes as the recorded one."""
        self._number += 1
        recorded = json.dumps(record["answer"]).replace(f"/{record['answer']['id']}/", f"/{self._number}/")
        self._follow(str(self._number))
        return {**json.loads(recorded), "id": self._number, "project": project}

    def _follow(self, number: str) -> None:
        self._updates[number] = [copy.deepcopy(each["answer"]) for each in self._records["GET project_updates/N/"]]

    def _update(self, number: str, records: list[Json]) -> Json:
        """How far a sync is: further than when this was last asked."""
        if number not in self._updates:  # the first one, which comes with the project
            self._follow(number)
        states = self._updates[number]
        state = states.pop(0) if len(states) > 1 else states[0]
        if state["status"] == "successful":
            for project in self.objects["projects"]:
                project.update(status="successful", scm_revision=state["scm_revision"])
                project["summary_fields"].pop("current_update", None)
        return state

    def _survey(self, method: str, path: str, body: Json) -> Json | None:
        if method == "GET":
            return self.surveys.get(path, {})
        if method == "POST":
            self.surveys[path] = body
        else:
            self.surveys.pop(path, None)
        return None

    def _approval(self, node: int, body: Json) -> Json:
        self._number += 1
        url = f"{API}workflow_approval_templates/{self._number}/"
        made = {**APPROVAL, "id": self._number, "url": url}
        made.update({name: value for name, value in body.items() if name in APPROVAL})
        self.objects.setdefault("workflow_approval_templates", []).append(made)
        (owner,) = [each for each in self.objects["workflow_job_template_nodes"] if each["id"] == node]
        owner["unified_job_template"], owner["related"]["unified_job_template"] = self._number, url
        return made

    def _associated(self, method: str, path: str, what: str, body: Json) -> tuple[int, Json | None]:
        numbers = self.linked.setdefault(path, [])
        if method == "POST":
            numbers.append(body["id"])
            return 204, None
        kind = "workflow_job_template_nodes" if what.endswith("_nodes") else what
        kind = "notification_templates" if what.startswith("notification_") else kind
        found = [each for each in self.objects.get(kind, ()) if each["id"] in numbers]
        return 200, {"count": len(found), "next": None, "previous": None, "results": found}


def _matches(each: Json, name: str, value: str) -> bool:
    return str(each.get(name, value)) == value


def _merge(found: Json, body: Json) -> None:
    """What is sent counts, but for null: then the real one keeps what it has."""
    for name, value in body.items():
        if name in found and value is not None:
            found[name] = {**found[name], **value} if name == "notification_configuration" else value


class Handler(BaseHTTPRequestHandler):
    """The wire."""

    controller: Controller

    def _do(self) -> None:
        split = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        status, content = self.controller.answer(self.command, split.path, split.query, body)
        data = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-API-Product-Version", "24.6.1")
        self.send_header("X-API-Product-Name", "AWX")
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = do_DELETE = _do

    def log_message(self, format: str, *args: t.Any) -> None:
        """Nothing."""


def serve(controller: Controller) -> ThreadingHTTPServer:
    """Serves on a free port of this host, until it is shut down."""
    handler = type("Handler", (Handler,), {"controller": controller})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
