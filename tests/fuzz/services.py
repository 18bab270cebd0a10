# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers of what services answer: OAR and Kadeploy by their commands and their APIs, the API of Grid'5000."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path
from unittest import mock

import requests
import yaml

from ansible_collections.immutable.compose.plugins.module_utils.oar import desk
from ansible_collections.immutable.compose.plugins.module_utils.oar.base import Reservations
from ansible_collections.immutable.compose.plugins.module_utils.oar.command import CommandLine as OarCommands
from ansible_collections.immutable.compose.plugins.module_utils.oar.grid5000 import Grid5000Api as OarGrid5000
from ansible_collections.immutable.compose.plugins.module_utils.oar.request import Request
from ansible_collections.immutable.compose.plugins.module_utils.oar.rest import RestApi
from ansible_collections.immutable.compose.plugins.module_utils.oar.results import ShownJob
from ansible_collections.immutable.compose.plugins.module_utils.oar.words import job_id, passed_on, refused
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy import command, grid5000, rest
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.outcome import Failure, Order
from ansible_collections.immutable.compose.plugins.module_utils.process import Completed
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from ..unit.oar.test_command import RESERVED, RUNNING, WAITING
from .attack import Reader
from .harm import data_like, either, json_like, text_like

WEB = Request("web", 3, 12000, "cluster='fake'", "default", ("deploy",))
ORDER = Order(["dahu-1", "dahu-2"], {"name": "compose-x", "image": {"file": "x"}})


class Clock:
    """Time that passes while somebody sleeps, and with each look at it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def monotonic(self) -> float:
        self.now += 0.01
        return self.now

    time = monotonic


class Host:
    """Where commands are; it says what it is told to."""

    where = "frontend"

    def __init__(self, answers: t.Callable[[t.Sequence[str], str], Completed]) -> None:
        self._answers = answers

    def run(self, words: t.Sequence[str], timeout: float, stdin: str | None = None) -> Completed:
        return self._answers(words, stdin or "")


def readers(directory: Path) -> t.Iterator[Reader]:
    """All of them."""
    yield from _oar()
    yield from _kadeploy()
    yield from _apis()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _look(site: Reservations) -> object:
    """All that is asked of a site."""
    with mock.patch.object(desk, "time", Clock()):
        found = [*site.jobs(), *filter(None, [site.job(6)]), *site.named("web")]
        told = [
            (str(job), job.asked_nodes, job.asked_disks, job.granted, job.ending, ShownJob.of(job)) for job in found
        ]
        return told, desk.Desk(site, Progress(), dry=True).reserve(WEB)


def _oar() -> t.Iterator[Reader]:
    jobs = {"6": RUNNING, "7": WAITING, "8": RESERVED}

    def asked(text: bytes) -> object:
        def answer(words: t.Sequence[str], _stdin: str) -> Completed:
            return Completed(0, "alice\n" if words[0] == "id" else _text(text), "")

        return _look(OarCommands(t.cast(t.Any, Host(answer))))

    yield Reader("oarstat", asked, json_like([jobs, {"6": RUNNING}]), share=2)

    def submitted(text: bytes) -> object:
        def answer(words: t.Sequence[str], _stdin: str) -> Completed:
            if words[0] == "id":
                return Completed(0, "alice\n", "")
            return Completed(int(words[0] == "oarsub" and len(text) % 2), _text(text), _text(text))

        return OarCommands(t.cast(t.Any, Host(answer))).submit(WEB)

    fence = "##########"
    said = [
        b"[ADMISSION RULE] Set default walltime to 7200.\nOAR_JOB_ID=6\n",
        f'OAR_JOB_ID=3\n\n{fence}\n{{\n   "job_id" : "3"\n}}\n\n{fence}\n'.encode(),
        b'OAR_JOB_ID=-5\nThere are not enough resources for your request\n{"7": {"network_address": "a"}}\n',
    ]
    yield Reader("oarsub", submitted, text_like(said))
    wrapped = b'{"code": 500, "message": "Oarsub command exited with status 1536: no\\nCmd:\\noarsub -n x"}'

    def words(text: bytes) -> object:
        name, code, inner = passed_on(_text(text))
        return job_id(_text(text)), str(refused("ask", "x", "there", name, code, inner, asked=WEB))

    yield Reader("words of OAR", words, text_like([wrapped, b"job 7 is not running", b"unknown job type: x", *said]))


def _parts(**files: str) -> str:
    return "".join(f"== compose: {name}\n{text}\n" for name, text in files.items())


def _kadeploy() -> t.Iterator[Reader]:
    reason = "The following nodes failed on nodes\ndahu-2 (BootNewEnvKexec-reboot: timeout)\n"
    texts = [
        yaml.safe_dump([{":user": "me", ":done": False, ":nodes": {":ok": ["dahu-1"], ":ko": []}}]),
        yaml.safe_dump(["dahu-1", "dahu-2"]),
        _parts(said="", wrong="", wid="D-1", ok="dahu-1\ndahu-2", ko="", code="0"),
        _parts(said=reason, wrong="", wid="D-1", ok="dahu-1", ko="dahu-2", code="0"),
        _parts(said="", wrong="[Kadeploy Error #6]\nno rights", wid="", ok="", ko="", code="1"),
        "compose-x runs dahu-1 dahu-2\ncompose-y done dahu-3\n",
        "dahu-1: off\ndahu-2: on\n",
    ]

    def asked(text: bytes) -> object:
        def answer(_words: t.Sequence[str], stdin: str) -> Completed:
            return Completed(len(text) % 3 == 1, _text(text), _text(text)[:200])

        with mock.patch.object(command, "time", Clock()):
            there = command.CommandLine(t.cast(t.Any, Host(answer)))
            found: list[object] = []
            for ask in (
                there.nodes,
                there.under_way,
                lambda: there.wait("compose-x", ORDER.nodes, 60).reasons(),
                lambda: there.deploy(ORDER),
                lambda: there.rehearse(ORDER),
                lambda: there.switch_off(ORDER.nodes, 60).reasons(),
                lambda: there.are_off(ORDER.nodes, 60),
                lambda: there.await_power(ORDER.nodes, 60),
            ):
                found.append(_each(ask))
        raise_first(found)
        return found

    yield Reader(
        "commands of Kadeploy",
        asked,
        either(
            text_like([text.encode() for text in texts]),
            json_like([[{":nodes": {":ok": ["dahu-1"]}, ":done": False}], ["dahu-1"]]),
        ),
        share=2,
    )
    yield Reader(
        "why a node failed",
        lambda text: str(Failure.read(_text(text))),
        text_like([b"Boot-kexec: no", reason.encode()]),
        share=0.3,
    )


def _each(ask: t.Callable[[], object]) -> object:
    """What is answered, or the error: the other questions are asked all the same."""
    try:
        return ask()
    except Exception as error:
        return error


def raise_first(found: t.Sequence[object]) -> None:
    """The first error that is not for people, else the first."""
    from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError

    errors = [each for each in found if isinstance(each, Exception)]
    for error in sorted(errors, key=lambda each: isinstance(each, ComposeError)):
        raise error


#: Call → answer.
Answers = t.Mapping[str, t.Any]


class Server:
    """Answers all calls of :mod:`requests`, without a network."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def send(self, _adapter: object, request: requests.PreparedRequest, **_how: object) -> requests.Response:
        path = re.sub(r"^https?://[^/]+", "", str(request.url)).partition("?")[0]
        answer = requests.Response()
        answer.request, answer.url = request, str(request.url)
        told = self._answers.get(f"{request.method} {path}", self._answers.get(path, self))
        answer.status_code, content = (404, {"message": "no such thing"}) if told is self else (200, told)
        if isinstance(content, list) and len(content) == 2 and content[0] in (400, 401, 403, 404, 500, 503):
            answer.status_code, content = content
        text = content if isinstance(content, str) else json.dumps(content, default=repr)
        answer._content = text.encode("utf-8", "surrogatepass")
        answer.headers["Content-Type"] = "application/json"
        return answer


def _answered(answers: object, ask: t.Callable[[], object]) -> object:
    given = answers if isinstance(answers, dict) else {}
    with (
        mock.patch.object(
            requests.adapters.HTTPAdapter, "send", lambda *given_, **how: Server(given).send(*given_, **how)
        ),
        mock.patch.object(rest, "time", Clock()),
        mock.patch.object(grid5000, "time", Clock()),
        mock.patch("time.sleep", lambda _seconds: None),
    ):
        return ask()


OAR_REST = {
    "GET /whoami.json": {"authenticated_user": "alice"},
    "GET /jobs.json": {"items": [{"id": 6, "name": "web"}, {"id": 7, "name": "x"}]},
    "GET /jobs/6.json": {
        "id": 6,
        "name": "web",
        "owner": "alice",
        "state": "Running",
        "walltime": 12600,
        "start_time": 1795344806,
        "types": ["deploy"],
        "wanted_resources": "-l /network_address=3,walltime=3:30:0",
        "events": [{"type": "WALLTIME", "description": "walltime changed: (granted: +0:10:0)"}],
        "queue": "default",
    },
    "GET /jobs/7.json": [404, {"message": "no such job"}],
    "GET /jobs/6/nodes.json": {"items": [{"network_address": "node-2"}, {"network_address": "node-10"}]},
    "POST /jobs.json": {"id": 8},
    "DELETE /jobs/6.json": [500, {"message": "Oardel command exited with status 1: no"}],
}
KADEPLOY = {
    "/auth_headers_prefix": "X-Kadeploy-",
    "/version": "3.9.3",
    "/nodes": ["dahu-1", "dahu-2"],
    "GET /deployment": [
        {
            "wid": "D-1",
            "user": "alice",
            "environment": {"name": "compose-x"},
            "nodes": {"ok": ["dahu-1"], "ko": [], "processing": []},
            "done": False,
        },
        {"wid": "D-2", "user": "alice", "environment": {"name": "y"}, "nodes": {}, "done": True},
    ],
    "POST /deployment": {"wid": "D-3"},
    "/deployment/D-1": {"wid": "D-1", "done": True, "error": False, "nodes": {"ok": ["dahu-1"], "ko": ["dahu-2"]}},
    "/deployment/D-1/state": {"dahu-1": {"state": "ok"}, "dahu-2": {"error": "Boot-kexec: no"}},
    "/deployment/D-1/error": [500, "no"],
    "PUT /power": {"wid": "P-1"},
    "GET /power": [{"wid": "P-1", "user": "alice", "done": False, "nodes": {"ok": ["dahu-1"]}}],
    "/power/P-1": {"wid": "P-1", "done": True, "error": False, "nodes": {"ok": ["dahu-1"], "ko": []}},
    "/power/P-1/state": {"dahu-1": {"out": "off"}},
}
_G5K = "/sites/grenoble"
_JOB = {
    "uid": 6,
    "name": "web",
    "user_uid": "alice",
    "state": "running",
    "walltime": 12600,
    "started_at": 1795344806,
    "assigned_nodes": ["dahu-1", "dahu-2"],
    "types": ["deploy"],
    "events": [{"type": "x", "description": "y"}],
    "links": [],
}
GRID5000 = {
    f"{_G5K}": {"uid": "grenoble", "links": []},
    f"{_G5K}/jobs/": {"items": [_JOB]},
    f"{_G5K}/jobs": {"items": [_JOB]},
    f"{_G5K}/jobs/6": _JOB,
    f"{_G5K}/status": {"nodes": {"dahu-1": {}}, "uid": "x"},
    f"{_G5K}/status/": {"nodes": {"dahu-1": {}}, "uid": "x"},
    f"GET {_G5K}/deployments": {"items": [{"uid": "D-1", "environment": "http://x/compose-x", "status": "processing"}]},
    f"GET {_G5K}/deployments/": {
        "items": [{"uid": "D-1", "environment": "http://x/compose-x", "status": "processing"}]
    },
    f"{_G5K}/deployments/D-1": {
        "uid": "D-1",
        "status": "terminated",
        "nodes": ["dahu-1", "dahu-2"],
        "result": {"dahu-1": {"state": "OK"}, "dahu-2": {"state": "KO", "error": "x"}},
    },
    f"POST {_G5K}/jobs": {"uid": 8},
    f"POST {_G5K}/deployments": {"uid": "D-3"},
}


class _Publisher:
    def publish(self, name: str, description: object) -> str:
        return f"http://x/{name}"

    def name_at(self, address: str) -> str:
        return address.rpartition("/")[2]


def _apis() -> t.Iterator[Reader]:
    def oar(data: t.Any) -> object:
        def ask() -> object:
            site = RestApi("http://oar")
            found = [
                _each(lambda: _look(site)),
                _each(lambda: site.submit(WEB)),
                _each(lambda: site.release(t.cast(t.Any, mock.Mock(id=6)))),
            ]
            raise_first(found)
            return found

        return _answered(data, ask)

    yield Reader("API of OAR", oar, data_like([OAR_REST]))

    def kadeploy(data: t.Any) -> object:
        def ask() -> object:
            there = rest.Rest("http://kadeploy", "alice")
            found = [
                _each(each)
                for each in (
                    there.nodes,
                    there.version,
                    there.under_way,
                    lambda: there.wait("D-1", ORDER.nodes, 60).reasons(),
                    lambda: there.deploy(ORDER),
                    lambda: there.switch_off(ORDER.nodes, 60).reasons(),
                    lambda: there.are_off(ORDER.nodes, 60),
                    lambda: there.await_power(ORDER.nodes, 60),
                    lambda: there.forget("D-1"),
                )
            ]
            raise_first(found)
            return found

        return _answered(data, ask)

    yield Reader("API of Kadeploy", kadeploy, data_like([KADEPLOY]))

    def reserved(data: t.Any) -> object:
        def ask() -> object:
            site = OarGrid5000("grenoble", "alice", "x", "http://g5k")
            found = [_each(lambda: _look(site)), _each(lambda: site.submit(WEB))]
            raise_first(found)
            return found

        return _answered(data, ask)

    yield Reader("jobs of Grid'5000", reserved, data_like([GRID5000]))

    def deployed(data: t.Any) -> object:
        def ask() -> object:
            there = grid5000.Grid5000Api("grenoble", _Publisher(), "alice", "x", "http://g5k")
            found = [
                _each(each)
                for each in (
                    there.nodes,
                    there.under_way,
                    lambda: there.wait("D-1", ORDER.nodes, 60).reasons(),
                    lambda: there.deploy(ORDER),
                    lambda: there.forget("D-1"),
                )
            ]
            raise_first(found)
            return found

        return _answered(data, ask)

    yield Reader("deployments of Grid'5000", deployed, data_like([GRID5000]))
