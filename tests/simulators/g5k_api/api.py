"""The calls."""

from __future__ import annotations

import base64
import json
import typing as t
import urllib.parse
from pathlib import Path

from kadeploy.faults import Faults
from kadeploy.nodesets import expand_all
from kadeploy.web import Answer, Request

from .deployments import Deployments
from .errors import UNAUTHORIZED, ApiError, Unauthorized
from .jobs import Job, Jobs
from .kadeploy_client import KadeployClient
from .options import Options
from .reference import Reference

Json = dict[str, t.Any]

_ROOT = "/stable"
_ITEM = "application/vnd.grid5000.item+json"
_COLLECTION = "application/vnd.grid5000.collection+json"
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}
_LIMIT, _MOST = 50, 500


class Api:
    """:param url: under which it is served"""

    def __init__(self, state: Path, options: Options, kadeploy_url: str, url: str) -> None:
        self.options = options
        self.url = url
        self.faults = Faults(state)
        self._site_path = f"{_ROOT}/sites/{options.site}"
        self.kadeploy = KadeployClient(kadeploy_url, f"{url}{self._site_path}/internal/kadeployapi")
        nodes = expand_all(options.nodes) or self.kadeploy.nodes()
        self.jobs = Jobs(options, nodes, self.faults, self.kadeploy.grant, self.kadeploy.withdraw)
        self._files = state / "files"
        files = (self._files, f"{url}{self._site_path}/files")
        self.deployments = Deployments(options.site, self.kadeploy, files)
        self.reference = Reference(options.site, self.jobs)
        self.kadeploy.announce(f"{url}{self._site_path}/deployments/WORKFLOW_ID")
        self.jobs.begin()

    def __call__(self, request: Request) -> Answer:
        """Whatever comes."""
        if request.path == "/control/faults":
            return self.faults.control(request)
        spoiled = self.faults.spoil(request)
        if spoiled is not None:
            return spoiled
        allowed = _allowed(request)
        try:
            answer = self._dispatch(request)
        except Unauthorized:
            headers = {"WWW-Authenticate": 'Basic realm="Grid\'5000 API"'}
            return Answer(401, UNAUTHORIZED.encode(), {"Content-Type": "text/html; charset=iso-8859-1", **headers})
        except ApiError as error:
            answer = Answer(error.status, error.text.encode(), dict(_TEXT))
        accepted = request.headers.get("Accept") or "*/*"
        kind = answer.headers.get("Content-Type", "")
        if kind.startswith("application/vnd") and "*/*" not in accepted and kind.split(";")[0] not in accepted:
            answer.headers |= _type("application/json")
        if request.method == "GET" and allowed:
            answer.headers |= {"Allow": allowed, "Vary": "accept"}
        return answer

    def _user(self, request: Request) -> str:
        """Who calls: by a password, or, inside of the site, as a proxy says."""
        kind, _space, token = (request.headers.get("Authorization") or "").partition(" ")
        if kind.lower() == "basic":
            try:
                user, _colon, password = base64.b64decode(token).decode().partition(":")
            except ValueError:
                raise Unauthorized from None
            if self.options.users.get(user) == password:
                return user
        elif request.headers.get("X-Api-User-Cn") in self.options.users:
            return str(request.headers["X-Api-User-Cn"]).lower()
        raise Unauthorized

    def _dispatch(self, request: Request) -> Answer:
        parts = [part for part in request.path.split("/") if part]
        if len(parts) == 5 and request.path.startswith(f"{self._site_path}/"):
            if parts[3] == "files" and request.method in ("GET", "HEAD"):
                return self._file(parts[4])
            if parts[3] == "deployments" and request.method == "PUT":
                self.deployments.touch(parts[4])
                return Answer(204, b"", {"Location": self.url + request.path})
        user = self._user(request)
        if not parts or parts[0] not in ("stable", "3.0", "sid", "4.0"):
            raise ApiError(404, f"Cannot find resource {request.path}")
        parts = parts[1:]
        if not parts:
            return _item(self._linked({"uid": "grid5000", "type": "grid", "version": "0" * 40}, "", "self sites"))
        if parts[0] != "sites":
            raise ApiError(404, f"Cannot find resource /{'/'.join(parts)}")
        if len(parts) == 1:
            return self._collection([self._site()], f"{_ROOT}/sites", _ROOT, request)
        if parts[1] != self.options.site:
            raise ApiError(404, f"Cannot find resource /sites/{parts[1]}")
        return self._within(request, user, parts[2:])

    def _within(self, request: Request, user: str, parts: list[str]) -> Answer:
        """Calls of the site."""
        match request.method, parts:
            case "GET", []:
                return _item(self._site())
            case "GET", ["status"]:
                return _item(self._linked(self.reference.status(), f"{self._site_path}/status"))
            case "GET", ["clusters", *more]:
                return self._clusters(request, more)
            case "GET", ["environments", *more]:
                return self._environments(request, user, more)
            case _, ["jobs", *more]:
                return self._jobs(request, user, more)
            case _, ["deployments", *more]:
                return self._deployments(request, user, more)
        raise ApiError(404, f"Cannot find resource /sites/{self.options.site}/{'/'.join(parts)}")

    # The reference

    def _site(self) -> Json:
        own = "clusters environments deployments jobs status"
        return self._linked(self.reference.site(), self._site_path, f"self parent version versions {own}")

    def _clusters(self, request: Request, parts: list[str]) -> Answer:
        path = f"{self._site_path}/clusters"
        if not parts:
            found = [
                self._linked(cluster, f"{path}/{cluster['uid']}", "self parent nodes")
                for cluster in self.reference.clusters()
            ]
            return self._collection(found, path, self._site_path, request)
        path = f"{path}/{parts[0]}"
        if parts[1:] == []:
            return _item(self._linked(self.reference.cluster(parts[0]), path, "self parent nodes"))
        if parts[1] != "nodes" or len(parts) > 3:
            raise ApiError(404, f"Cannot find resource /{'/'.join(parts)}")
        if len(parts) == 3:
            return _item(self._linked(self.reference.node(parts[0], parts[2]), f"{path}/nodes/{parts[2]}"))
        nodes = [self._linked(node, f"{path}/nodes/{node['uid']}") for node in self.reference.nodes(parts[0])]
        return self._collection(nodes, f"{path}/nodes", path, request, everything=True)

    def _environments(self, request: Request, user: str, parts: list[str]) -> Answer:
        """Public ones, and those of a user."""
        query = {key: values[0] for key, values in request.query.items()}
        last = "" if parts or query.get("latest_only", "yes") in ("no", "false") else "last=true&"
        if query.get("user"):
            found = self._kadeploy_environments(f"?{last}username={query['user']}", user)
        else:
            mine = self._kadeploy_environments(f"?{last}username={user}", user)
            others = self._kadeploy_environments(f"?{last.rstrip('&')}", user)
            found = others + [about for about in mine if about not in others]
        path = f"{self._site_path}/environments"
        for about in found:
            words = [str(about[key]) for key in ("name", "arch", "version", "user") if key in about]
            about["uid"] = "_".join(words)
            about["links"] = self._links(f"{path}/{about['uid']}", "self parent")
        for key in ("name", "arch"):
            found = [about for about in found if query.get(key, about.get(key)) == about.get(key)]
        if not parts:
            return self._collection(found, path, self._site_path, request, everything=True)
        for about in found:
            if about["uid"] == parts[0]:
                return _item(about, cached=True)
        raise ApiError(404, f"Cannot find environment {parts[0]}")

    def _kadeploy_environments(self, query: str, user: str) -> list[Json]:
        reply = self.kadeploy.call("GET", f"/environments{query}", user)
        return list(reply.body) if reply.status == 200 else []

    # Jobs

    def _jobs(self, request: Request, user: str, parts: list[str]) -> Answer:
        path = f"{self._site_path}/jobs"
        if not parts and request.method == "POST":
            where = f"{self.url}{self._site_path}/internal/oarapi/jobs.json"
            job = self.jobs.submit(user, _body(request), where)
            about = self._job(job)
            return Answer(201, _json(about), {**_type(_ITEM), "Location": f"{self.url}{path}/{job.uid}"})
        if not parts and request.method == "GET":
            query = {key: values[0] for key, values in request.query.items()}
            wanted = {key: query[key] for key in ("user", "name", "state", "queue", "project") if key in query}
            found = self.jobs.list(**wanted)
            full = query.get("resources", "no") != "no"
            items = [
                self._job(job) if full else self._linked(self.jobs.about(job), f"{path}/{job.uid}") for job in found
            ]
            return self._collection(items, path, self._site_path, request)
        if len(parts) == 1 and request.method == "GET":
            return _item(self._job(self.jobs.find(parts[0])))
        if len(parts) == 1 and request.method == "DELETE":
            said = self.jobs.delete(user, parts[0])
            headers = {"Location": f"{self.url}{path}/{parts[0]}", "X-Oar-Info": said}
            return Answer(202, b"", {**_TEXT, **headers})
        if len(parts) == 2 and parts[1] == "walltime":
            return self._walltime(request, user, parts[0])
        raise ApiError(404, f"Cannot find resource {request.path}")

    def _job(self, job: Job) -> Json:
        about = self._linked(self.jobs.about(job), f"{self._site_path}/jobs/{job.uid}")
        return {**about, **self.jobs.resources_of(job)}

    def _walltime(self, request: Request, user: str, number: str) -> Answer:
        path = f"{self._site_path}/jobs/{number}/walltime"
        job = self.jobs.find(number)
        if request.method == "POST":
            said = self.jobs.extend(user, number, str(_body(request).get("walltime") or ""))
            return Answer(202, said.encode(), {**_type(_ITEM), "Location": self.url + path})
        hours, rest = divmod(job.wanted.walltime, 3600)
        told: Json = {"uid": job.uid, "walltime": f"{hours}:{rest // 60}:{rest % 60}", "possible": "UNLIMITED"}
        told |= {"force": "NO", "delay_next_jobs": "FORBIDDEN", "granted": "+0:0:0", "pending": "+0:0:0"}
        return _item({**told, "links": self._links(path, "self parent")})

    # Deployments

    def _deployments(self, request: Request, user: str, parts: list[str]) -> Answer:
        path = f"{self._site_path}/deployments"
        if not parts and request.method == "POST":
            about = self.deployments.create(user, _body(request))
            where = f"{path}/{about['uid']}"
            return Answer(201, _json(self._linked(about, where)), {**_type(_ITEM), "Location": self.url + where})
        if not parts and request.method == "GET":
            query = {key: values[0] for key, values in request.query.items()}
            oldest_first = query.get("reverse") == "true"
            found = self.deployments.list(query.get("user", ""), query.get("status", ""), oldest_first)
            items = [self._linked(about, f"{path}/{about['uid']}") for about in found]
            return self._collection(items, path, self._site_path, request)
        if len(parts) == 1 and request.method == "GET":
            about = self.deployments.find(parts[0])
            return _item(self._linked(about, f"{path}/{parts[0]}"), cached=True)
        if len(parts) == 1 and request.method == "DELETE":
            self.deployments.cancel(user, parts[0])
            return Answer(202, b"", {**_TEXT, "Location": f"{self.url}{path}/{parts[0]}"})
        raise ApiError(404, f"Cannot find resource {request.path}")

    def _file(self, name: str) -> Answer:
        path = self._files / name
        if not path.is_file():
            raise ApiError(404, f"Cannot find resource /files/{name}")
        return Answer(200, path.read_bytes(), {**_TEXT, "ETag": f'"{name}"'})

    # What all have

    def _links(self, path: str, names: str) -> list[Json]:
        found = []
        for name in names.split():
            href = {"self": path, "parent": path.rsplit("/", 2)[0]}.get(name, f"{path}/{name}")
            if name == "parent" and path.endswith(("/status", "/walltime")):
                href = path.rsplit("/", 1)[0]
            item = name in ("self", "parent", "version", "status")
            found.append({"rel": name, "href": href or _ROOT, "type": _ITEM if item else _COLLECTION})
        return found

    def _linked(self, about: Json, path: str, names: str = "self parent") -> Json:
        return {**about, "links": self._links(path or _ROOT, names)}

    def _collection(
        self, items: list[Json], path: str, parent: str, request: Request, *, everything: bool = False
    ) -> Answer:
        """A page of what was found."""
        offset, limit = (_number(request, key, default) for key, default in (("offset", 0), ("limit", _LIMIT)))
        page = items if everything else items[offset : offset + min(limit, _MOST)]
        links = [{"rel": "self", "href": path, "type": _COLLECTION}, {"rel": "parent", "href": parent, "type": _ITEM}]
        body = {"total": len(items), "offset": offset, "items": page, "links": links}
        return Answer(200, _json(body), _type(_COLLECTION))


def _number(request: Request, key: str, default: int) -> int:
    text = request.query.get(key, [""])[0]
    return max(0, int(text)) if text.isdigit() else default


def _json(body: t.Any) -> bytes:
    return json.dumps(body).encode()


def _type(kind: str) -> dict[str, str]:
    return {"Content-Type": f"{kind}; charset=utf-8"}


def _item(body: Json, *, cached: bool = False) -> Answer:
    """One thing; clients may keep some for a minute."""
    return Answer(200, _json(body), {**_type(_ITEM), "Cache-Control": "max-age=60, private" if cached else "no-cache"})


def _allowed(request: Request) -> str:
    """What can be done with a resource."""
    parts = [part for part in request.path.split("/") if part][1:]
    match parts:
        case ["sites", _site, "jobs" | "deployments"]:
            return "GET,POST"
        case ["sites", _site, "jobs", _number]:
            return "GET,DELETE"
        case ["sites", _site, "deployments", _uid]:
            return "GET,DELETE,PUT"
        case ["sites", *_more]:
            return "GET"
    return ""


def _body(request: Request) -> Json:
    """The fields of a call, in JSON or as a form."""
    kind = request.headers.get("Content-Type", "").split(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        form = urllib.parse.parse_qs(request.body.decode())
        lists = {key.removesuffix("[]"): values for key, values in form.items() if key.endswith("[]")}
        return {key: values[0] for key, values in form.items() if not key.endswith("[]")} | lists
    if kind != "application/json":
        raise ApiError(415, f"Content-Type '{kind}' is not supported")
    try:
        found = json.loads(request.body or b"{}")
    except ValueError:
        raise ApiError(400, "Bad Request") from None
    if not isinstance(found, dict):
        raise ApiError(400, "Bad Request")
    return found
