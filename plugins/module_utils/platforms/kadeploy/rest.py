# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kadeploy's REST interface, of 3.3 and of 3.9 and later. PRIVATE to the collection."""

from __future__ import annotations

import re
import time
import typing as t
from urllib.parse import quote

try:
    import requests

    HAS_REQUESTS = True
except ImportError:
    HAS_REQUESTS = False

from ...errors import ComposeError
from ...libraries import missing_library
from ...model.answer import answer, json_answer, json_of
from .answers import Begun, Nodes, NodeState, Operation
from .backend import PowerBackend
from .outcome import UNKNOWN, Failure, KadeployError, Order, Outcome, UnderWay

T = t.TypeVar("T")

#: Seconds that the server may be silent, and within which a reading call is tried anew.
SILENCE, PATIENCE = 60, 45
#: Seconds between two looks at an operation, at first and at most: looking often slows the server down.
FIRST, PITCH = 0.5, 5.0
#: What every server answers, to whoever asks.
_FIRST_CALL = "/auth_headers_prefix"
#: Answers that pass by themselves.
_PASSING = (500, 502, 503, 504)
#: Nodes that one call asks for: addresses have an end.
_ASKED = 40


class Rest(PowerBackend):
    """Calls.

    :param url: of the server, ``http://frontend:25300``.
    :param password: for HTTP Basic; without, the server believes who calls, or asks that host.
    :param ca: file of the certificate authority, if not the system's.
    """

    def __init__(self, url: str, user: str, password: str = "", ca: str = "") -> None:
        if not HAS_REQUESTS:
            raise missing_library("requests", what="the REST interface of Kadeploy")
        self.url = url.rstrip("/")
        self.where = f"Kadeploy at {self.url}"
        self.user = user
        self._session = requests.Session()
        self._session.verify = ca or True
        if password:
            self._session.auth = (user, password)
        self._prefix = ""

    def version(self) -> tuple[int, ...]:
        """Of the server: ``(3, 9, 3)``."""
        text = self._call("GET", "/version", "to say its version").text.strip()
        return tuple(int(part) for part in re.findall("[0-9]{1,9}", text))

    def nodes(self) -> list[str]:
        path = "/nodes"
        where = f"{self.where}: GET {path}"
        told = json_of(self._call("GET", path, "to list nodes").content, where)
        return list(answer(Nodes, {"ok": told}, where).ok or ())

    # Deployments

    def rehearse(self, order: Order) -> None:
        self._order(order, dry=True)

    def deploy(self, order: Order) -> str:
        answered = self._order(order, dry=False)
        return str(json_answer(Begun, answered.content, f"{self.where}: POST /deployment").wid)

    def _order(self, order: Order, *, dry: bool) -> requests.Response:
        body: dict[str, t.Any] = {"nodes": list(order.nodes), "environment": {"kind": "anonymous", **order.environment}}
        if order.partition:
            body["deploy_part" if self.version() >= (3, 9) else "deploy_partition"] = order.partition
        if dry:
            body["dry_run"] = True
        return self._call("POST", "/deployment", f"the deployment of {len(order.nodes)} nodes", body)

    def under_way(self) -> list[UnderWay]:
        found = self._told(list[Operation], "GET", "/deployment", "to list deployments")
        return [
            UnderWay(str(each.wid), str(each.environment.name), _nodes_of(each), each.done)
            for each in found
            if each.user == self.user and each.environment
        ]

    def wait(self, identifier: str, asked: t.Sequence[str], deadline: float) -> Outcome:
        """The end of an operation, looked at each time after a tenth of what it has taken so far, within limits."""
        kind = _kind_of(identifier)
        begin = time.monotonic()
        while True:
            outcome = self._outcome(kind, identifier, asked)
            if outcome is not None:
                return outcome
            passed = time.monotonic() - begin
            pause = min(max(FIRST, passed / 10), PITCH)
            if passed + pause > deadline:
                raise ComposeError(f"the {kind} {identifier} has not ended within {deadline:.0f} s; it goes on")
            time.sleep(pause)

    def _outcome(self, kind: str, identifier: str, asked: t.Sequence[str]) -> Outcome | None:
        """What came of an operation; ``None`` while it goes on."""
        path, what = f"/{kind}/{identifier}", f"to tell of the {kind} {identifier}"
        about = self._told(Operation, "GET", path, what)
        if not about.done:
            return None
        if about.error:
            try:
                self._call("GET", f"{path}/error", f"the {kind} {identifier}", again=False)
            except KadeployError as error:
                return Outcome(identifier, asked, error=error)
            return Outcome(identifier, asked, error=KadeployError(f"the {kind} {identifier}", 0, "no reason was given"))
        states = self._told(dict[str, NodeState], "GET", f"{path}/state", what)
        nodes = about.nodes or Nodes()
        failed = {node: Failure.read(str(states.get(node, NodeState()).error or "")) for node in nodes.ko or ()}
        return Outcome(identifier, asked, tuple(nodes.ok or ()), failed)

    def forget(self, identifier: str) -> None:
        kind = _kind_of(identifier)
        try:
            self._call("GET", f"/{kind}/{identifier}", f"to tell of the {kind} {identifier}")
            self._call("DELETE", f"/{kind}/{identifier}", f"to forget the {kind} {identifier}")
        except KadeployError as error:
            if error.code != UNKNOWN:
                raise

    # Power

    def switch_off(self, nodes: t.Sequence[str], deadline: float) -> Outcome:
        body = {"nodes": list(nodes), "status": "off", "level": "soft"}
        identifier = str(self._told(Begun, "PUT", "/power", f"to switch off {len(nodes)} nodes", body).wid)
        outcome = self.wait(identifier, nodes, deadline)
        self.forget(identifier)
        return outcome

    def are_off(self, nodes: t.Sequence[str], deadline: float) -> set[str]:
        off: set[str] = set()
        for first in range(0, len(nodes), _ASKED):
            query = "&".join(f"nodes={quote(node)}" for node in nodes[first : first + _ASKED])
            what = f"to tell whether {len(nodes)} nodes are on"
            identifier = str(self._told(Begun, "GET", f"/power?{query}", what, again=False).wid)
            try:
                if self.wait(identifier, nodes, deadline).error is None:
                    path = f"/power/{identifier}/state"
                    states = self._told(dict[str, NodeState], "GET", path, "to tell whether nodes are on")
                    off.update(node for node, state in states.items() if state.out == "off")
            finally:
                self.forget(identifier)
        return off

    def await_power(self, nodes: t.Collection[str], deadline: float) -> None:
        for each in self._told(list[Operation], "GET", "/power", "to list operations"):
            if each.user == self.user and not each.done and _nodes_of(each).intersection(nodes):
                try:
                    self.wait(str(each.wid), (), deadline)
                except KadeployError as error:
                    if error.code != UNKNOWN:  # forgotten meanwhile
                        raise

    # Calls

    def _told(
        self, type_: type[T], verb: str, path: str, what: str, body: t.Mapping[str, t.Any] | None = None, **how: bool
    ) -> T:
        """:meth:`_call`, as a type of answers.py. :raises WrongAnswer: it is none."""
        where = f"{self.where}: {verb} {path.partition('?')[0]}"
        return json_answer(type_, self._call(verb, path, what, body, **how).content, where)

    def _call(
        self, verb: str, path: str, what: str, body: t.Mapping[str, t.Any] | None = None, *, again: bool = True
    ) -> requests.Response:
        """One call; one that only reads is made again where what is wrong may pass.

        :param what: for the error: ``Kadeploy refused …``.
        """
        if not self._prefix and path != _FIRST_CALL:
            self._prefix = self._call("GET", _FIRST_CALL, "to say how users log in").text.strip()
        headers = {f"{self._prefix}User": self.user, "Accept": "*/*"}
        end, pause = time.monotonic() + PATIENCE, 0.25
        while True:
            try:
                said = self._session.request(verb, self.url + path, json=body, headers=headers, timeout=SILENCE)
            except requests.exceptions.RequestException as error:
                wrong: ComposeError = ComposeError(f"{self.where} cannot be reached: {error}")
            else:
                if said.status_code == 200:
                    return said
                wrong = _refusal(what, said)
                if said.status_code == 404 and path == _FIRST_CALL:
                    raise ComposeError(
                        f"{self.where}: HTTP 404, which is not an answer of Kadeploy; is url its address?"
                    )
                if said.status_code not in _PASSING:
                    raise wrong
            if verb != "GET" or not again or time.monotonic() + pause > end:
                raise wrong
            time.sleep(pause)
            pause = min(pause * 2, 4)


def _kind_of(identifier: str) -> str:
    """What an identifier is of, by its first letter."""
    return "power" if identifier.startswith("P-") else "deployment"


def _nodes_of(about: Operation) -> frozenset[str]:
    """The nodes that an operation is said to have; none where it failed as a whole."""
    return about.nodes.all() if about.nodes else frozenset()


def _refusal(what: str, said: requests.Response) -> KadeployError:
    """Kadeploy's number of an error; that of HTTP where it has none."""
    number = said.headers.get("X-Application-Error-Code", "")
    code = int(number) if re.fullmatch("[0-9]{1,9}", number) else said.status_code
    text = said.text
    if said.status_code == 500:  # a stack of Ruby: the first lines say what it is
        text = " ".join(text.split("---- Stack trace ----")[0].replace("----", " ").split())
    return KadeployError(what, code, text)
