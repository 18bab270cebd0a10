# SPDX-License-Identifier: GPL-3.0-or-later
"""OAR's REST API: what it is asked, and what its answers mean. The answers are those of OAR 2.5.9."""

from __future__ import annotations

import socket
import sys
import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.oar.base import NotAdmitted, Unanswered
from ansible_collections.immutable.compose.plugins.module_utils.oar.job import Job, OarError
from ansible_collections.immutable.compose.plugins.module_utils.oar.request import Request
from ansible_collections.immutable.compose.plugins.module_utils.oar.rest import RestApi

from .wire import UNAUTHORIZED, Server

JOB: dict[str, t.Any] = {
    "id": 4,
    "name": "web",
    "owner": "alice",
    "state": "Running",
    "walltime": 600,
    "start_time": 1795843750,
    "scheduled_start": 1795843750,
    "queue": "default",
    "types": ["deploy"],
    "properties": "((deploy = 'YES') AND desktop_computing = 'NO') AND drain='NO'",
    "project": "default",
    "message": "R=4,W=0:10:0,J=B,N=web,T=deploy (Karma=0.000,quota_ok)",
    "wanted_resources": "-l \"{type = 'default'}/network_address=2,walltime=0:10:0\" ",
    "initial_request": "oarsub --type=deploy --resource=/nodes=2,walltime=0:10:0 --name=web sleep infinity",
    "events": [],
}
NODES = {"items": [{"network_address": "node-10"}, {"network_address": "node-2"}], "total": 2}
KILL = {"code": 400, "title": "Oardel error"}


def refusal(status: int, code: int, words: str, command: str = "Oarsub") -> dict[str, t.Any]:
    return {
        "code": status,
        "title": "Bad query",
        "message": f'{command} command exited with status {code}: {words}\nCmd:\noarsub --name=\\"web\\" sleep',
    }


@pytest.fixture
def api(server: Server) -> RestApi:
    server.add("GET", "/oarapi/whoami.json", 200, {"authenticated_user": "alice", "api_timestamp": 1})
    return RestApi(f"{server.url}/oarapi/", "alice", "secret")


def test_who_asks(api: RestApi, server: Server) -> None:
    assert (api.user, api.where) == ("alice", f"{server.url}/oarapi (alice)")
    assert server.asked[0].user == "alice:secret"


def test_a_job_is_submitted(api: RestApi, server: Server) -> None:
    server.add("POST", "/oarapi/jobs.json", 201, {"id": 4, "cmd_output": "OAR_JOB_ID=4\n", "links": []})
    wanted = Request("web", 2, 600, "cluster='fake'", "default", ("deploy",), "2027-01-01 10:00:00", "lab")
    assert api.submit(wanted) == 4
    assert server.calls("POST")[0].body == {
        "name": "web",
        "resource": "/nodes=2,walltime=0:10:0",
        "command": "sleep infinity",
        "type": ["deploy"],
        "property": "cluster='fake'",
        "queue": "default",
        "reservation": "2027-01-01 10:00:00",
        "project": "lab",
    }


def test_what_is_not_asked_for_is_not_said(api: RestApi, server: Server) -> None:
    server.add("POST", "/oarapi/jobs.json", 201, {"id": 4})
    api.submit(Request("one", 1, 60))
    assert set(server.calls("POST")[0].body) == {"name", "resource", "command"}


@pytest.mark.parametrize(
    ("status", "code", "words", "plain"),
    [
        (400, 8, "There are not enough resources for your request\nOAR_JOB_ID=-5\n", "too few: asked for 2 nodes"),
        (400, 10, "OAR_JOB_ID=5\nReservation not valid --> KO (Reservation too old)\n", "start is in the past"),
        (500, 254, "[ADMISSION RULE] Error: unknown job type: weird\n\n", "no type of job 'weird'"),
        (500, 248, "ERROR : The queue nosuch does not exist\n", "no queue 'nosuch'"),
        (500, 255, "/!\\ Cannot recognize the resource description : {x\n", "does not understand the resources"),
    ],
)
def test_refusals(api: RestApi, server: Server, status: int, code: int, words: str, plain: str) -> None:
    server.add("POST", "/oarapi/jobs.json", status, refusal(status, code, words))
    with pytest.raises(OarError) as error:
        api.submit(Request("web", 2, 600))
    assert f"was refused by OAR at {api.where}: " in str(error.value) and plain in str(error.value)
    assert f"(oarsub, exit code {code})" in str(error.value) and "Cmd" not in str(error.value)
    assert not isinstance(error.value, Unanswered), "nothing is to be asked again"
    assert len(server.calls("POST")) == 1


def test_a_job_is_read(api: RestApi, server: Server) -> None:
    server.add("GET", "/oarapi/jobs/4.json", 200, JOB)
    server.add("GET", "/oarapi/jobs/4/nodes.json", 200, NODES)
    job = api.job(4)
    assert job is not None
    assert (job.id, job.state, job.nodes, job.walltime, job.start) == (
        4,
        "Running",
        ("node-2", "node-10"),
        600,
        1795843750,
    )
    assert (job.asked_nodes, job.types, job.queue, job.user) == (2, ("deploy",), "default", "alice")


def test_there_is_no_such_job(api: RestApi, server: Server) -> None:
    server.add("GET", "/oarapi/jobs/99.json", 404, {"code": 404, "title": "Job not found", "message": "Job not found"})
    assert api.job(99) is None


def test_jobs_by_name(api: RestApi, server: Server) -> None:
    items = [{"id": 9, "name": "db"}, {"id": 5, "name": "web"}, {"id": 4, "name": "web"}]
    server.add("GET", "/oarapi/jobs.json?user=alice&limit=1000", 200, {"items": items})
    for id_ in (4, 5, 9):
        events = [{"type": "FRAG_JOB_REQUEST", "description": "x"}] if id_ == 5 else []
        server.add("GET", f"/oarapi/jobs/{id_}.json", 200, {**JOB, "id": id_, "events": events})
        server.add("GET", f"/oarapi/jobs/{id_}/nodes.json", 200, NODES)
    assert [job.id for job in api.named("web")] == [4]
    assert "/oarapi/jobs/9.json" not in [asked.path for asked in server.asked]
    assert [job.id for job in api.jobs()] == [4, 5, 9]


def test_a_job_is_extended(api: RestApi, server: Server) -> None:
    server.add("POST", "/oarapi/jobs/4.json", 202, {"id": "4", "status": "Accepted"}, times=1)
    job = Job(4, "web", "alice", "Running")
    api.extend(job, 600)
    assert server.calls("POST")[0].body == {"method": "walltime-change", "walltime": "+0:10:0"}
    words = {"code": 403, "title": "Forbidden", "message": "Job 4 is not running"}
    server.add("POST", "/oarapi/jobs/4.json", 403, {**words, "message": "job 4 is not running"})
    with pytest.raises(OarError, match=r"only a running job can be given more time \(HTTP 403\)"):
        api.extend(job, 600)


def test_a_job_is_released(api: RestApi, server: Server) -> None:
    job = Job(4, "web", "alice", "Running")
    server.add("DELETE", "/oarapi/jobs/4.json", 202, {"id": "4", "status": "Delete request registered"}, times=1)
    api.release(job)
    said = "Oardel command exited with status 1536: Cannot frag 4 ; This job was already killed.\n. (Command was: x 4)."
    server.add("DELETE", "/oarapi/jobs/4.json", 400, {**KILL, "message": said}, times=1)
    api.release(job)
    said = "Oardel command exited with status 256: Cannot frag 4 ; You are not the right user.\n. (Command was: x 4)."
    server.add("DELETE", "/oarapi/jobs/4.json", 400, {**KILL, "message": said})
    with pytest.raises(OarError, match=r"another user's \(oardel, exit code 1\)"):
        api.release(job)


def test_a_password_that_is_wrong(server: Server) -> None:
    with pytest.raises(NotAdmitted, match=rf"{server.url}/oarapi \(alice\) does not accept .* \(HTTP 401\)"):
        RestApi(f"{server.url}/oarapi", "alice", "wrong")


def test_a_login_that_is_missing(server: Server) -> None:
    server.add("GET", "/priv/whoami.json", 401, UNAUTHORIZED)
    server.add("GET", "/oarapi/whoami.json", 200, {"authenticated_user": ""})
    with pytest.raises(NotAdmitted, match="HTTP 401"):
        RestApi(f"{server.url}/priv")
    with pytest.raises(NotAdmitted, match="give username and password"):
        RestApi(f"{server.url}/oarapi")


def test_a_name_with_half_a_character(server: Server) -> None:
    server.add("GET", "/oarapi/whoami.json", 200, {"authenticated_user": "alice\udcff"})
    server.add("GET", "/oarapi/jobs.json?user=alice%5Cudcff&limit=1000", 200, {"items": []})
    assert RestApi(f"{server.url}/oarapi").named("web") == []


def test_an_address_of_something_else(server: Server) -> None:
    with pytest.raises(Unanswered, match="HTTP 404, which is not an answer of OAR; is url the address of OAR's API"):
        RestApi(f"{server.url}/nowhere")
    with pytest.raises(InputError, match="url is 'oar.example.org', expected"):
        RestApi("oar.example.org")


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(
        Unanswered, match=rf"http://127.0.0.1:{port}/oarapi \(alice\) does not answer: Connection refused"
    ):
        RestApi(f"http://127.0.0.1:{port}/oarapi", "alice", "secret")


def test_a_library_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "requests", None)
    with pytest.raises(
        ComposeError, match=f"'requests' is missing from {sys.executable} .*the REST API of OAR needs it"
    ):
        RestApi("http://localhost/oarapi")
