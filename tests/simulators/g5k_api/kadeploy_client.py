"""Calls of Kadeploy's REST interface."""

from __future__ import annotations

import json
import typing as t
import urllib.error
import urllib.request
from dataclasses import dataclass

from .errors import ApiError

Json = dict[str, t.Any]


@dataclass
class Reply:
    """What Kadeploy answered."""

    status: int
    text: str

    @property
    def body(self) -> t.Any:
        return json.loads(self.text)


class KadeployClient:
    """:param url: of the server; :param shown: the address that errors name"""

    def __init__(self, url: str, shown: str) -> None:
        self.url = url.rstrip("/")
        self.shown = shown
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(self, method: str, path: str, user: str, body: Json | None = None) -> Reply:
        """One call, in the name of a user."""
        headers = {"X-Remote-Ident": user, "X-Kadeploy-User": user, "Accept": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with self._opener.open(request, timeout=20) as answer:
                return Reply(answer.status, answer.read().decode())
        except urllib.error.HTTPError as error:
            return Reply(error.code, error.read().decode(errors="replace"))
        except OSError as error:
            raise ApiError(500, f"Unable to contact {self.shown}{path}\n") from error

    def nodes(self) -> list[str]:
        """All that it has."""
        found: list[str] = self.call("GET", "/nodes?list=true", "root").body
        return found

    def grant(self, user: str, nodes: list[str]) -> None:
        """As the prologue of a job does."""
        self.call("POST", "/rights", "root", {"username": user, "nodes": nodes, "overwrite": True})

    def withdraw(self, user: str, nodes: list[str]) -> None:
        """As the epilogue does, for the nodes of this job only."""
        self.call("DELETE", f"/rights/{user}", "root", {"nodes": nodes})

    def announce(self, address: str) -> None:
        """Have the end of deployments told: ``hooks.end_of_deployment`` of a real one."""
        request = urllib.request.Request(f"{self.url}/control/hook", address.encode(), method="PUT")
        try:
            self._opener.open(request, timeout=20).close()
        except OSError as error:
            print(f"Kadeploy does not tell when deployments end: {error}", flush=True)
