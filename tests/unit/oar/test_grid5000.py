# SPDX-License-Identifier: GPL-3.0-or-later
"""The API of Grid'5000, by python-grid5000. The answers are those of g5k-api 3.11.13."""

from __future__ import annotations

import json
import socket
import sys
import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.oar.base import NotAdmitted, Unanswered
from ansible_collections.immutable.compose.plugins.module_utils.oar.grid5000 import Grid5000Api
from ansible_collections.immutable.compose.plugins.module_utils.oar.job import Job, OarError
from ansible_collections.immutable.compose.plugins.module_utils.oar.request import Request

from .wire import Server

SITE = "/stable/sites/grenoble"
JOBS = f"{SITE}/jobs"
WAITING: dict[str, t.Any] = {
    "uid": 4,
    "user_uid": "alice",
    "user": "alice",
    "walltime": 600,
    "queue": "default",
    "state": "waiting",
    "project": "default",
    "name": "rec",
    "types": ["deploy"],
    "mode": "PASSIVE",
    "command": "./oarapi.subscript.XTj1n",
    "submitted_at": 1795344673,
    "started_at": 0,
    "message": "R=6,W=0:10:0,J=B,N=rec,T=deploy",
    "properties": "((deploy = 'YES') AND desktop_computing = 'NO') AND drain='NO'",
    "directory": "/home/alice",
    "events": [],
    "links": [],
    "resources_by_type": {},
    "assigned_nodes": [],
}
RUNNING: dict[str, t.Any] = {
    **WAITING,
    "state": "running",
    "scheduled_at": 1795344674,
    "started_at": 1795344674,
    # A node for each core, some of them twice: names are compared by their beginning there.
    "resources_by_type": {"cores": ["node-1/0", "node-11/0", "node-10/0", "node-1/1", "node-10/0", "node-11/0"]},
    "assigned_nodes": ["node-1", "node-11", "node-10"],
}
KILLED = [
    {"uid": 10, "created_at": 1795344682, "type": "FRAG_JOB_REQUEST", "description": "User alice requested to frag"},
]
#: A job in advance: it waits, and its nodes are known.
RESERVED = {**RUNNING, "state": "waiting", "scheduled_at": 1795388400, "started_at": 1795388400}


def refusal(status: int, code: int, words: str) -> str:
    told = {
        "code": status,
        "title": "x",
        "message": f"Oarsub command exited with status {code}: {words}\n\nCmd:\noarsub",
    }
    url = "http://127.0.0.1:8888/stable/sites/grenoble/internal/oarapi/jobs.json"
    return f"Request to {url} failed with status {status}: {json.dumps(told, indent=3)}\n\n"


@pytest.fixture
def api(server: Server) -> Grid5000Api:
    server.add("GET", SITE, 200, {"uid": "grenoble", "type": "site"})
    return Grid5000Api("grenoble", "alice", "secret", f"{server.url}/stable/")


def test_a_job_is_submitted(api: Grid5000Api, server: Server) -> None:
    server.add("POST", JOBS, 201, WAITING)
    wanted = Request("rec", 3, 600, "cluster='a'", "default", ("deploy",), "2027-01-01 10:00:00", "lab", "sleep 400")
    assert api.submit(wanted) == 4
    (asked,) = server.calls("POST")
    assert asked.user == "alice:secret"
    assert asked.body == {
        "name": "rec",
        "resources": "/nodes=3,walltime=0:10:0",
        "command": "sleep 400",
        "types": ["deploy"],
        "properties": "cluster='a'",
        "queue": "default",
        "reservation": "2027-01-01 10:00:00",
        "project": "lab",
    }


def test_a_job_is_read(api: Grid5000Api, server: Server) -> None:
    server.add("GET", f"{JOBS}/4", 200, WAITING, times=1)
    server.add("GET", f"{JOBS}/4", 200, RESERVED, times=1)
    server.add("GET", f"{JOBS}/4", 200, RUNNING, times=1)
    server.add("GET", f"{JOBS}/4", 200, {**RUNNING, "state": "error", "events": KILLED})
    waiting, reserved, running, ended = (api.job(4) for _look in range(4))
    assert waiting and reserved and running and ended
    assert (waiting.state, waiting.nodes, waiting.start, waiting.asked_nodes) == ("Waiting", (), None, None)
    assert (reserved.state, len(reserved.nodes), reserved.start) == ("Waiting", 3, 1795388400)
    assert (running.state, running.nodes, running.asked_nodes) == ("Running", ("node-1", "node-10", "node-11"), 3)
    assert (running.name, running.user, running.walltime, running.types) == ("rec", "alice", 600, ("deploy",))
    assert (ended.state, ended.ended, ended.events[0].kind) == ("Error", True, "FRAG_JOB_REQUEST")


def test_states_of_both_words(api: Grid5000Api, server: Server) -> None:
    for state, expected in (("tolaunch", "toLaunch"), ("toackreservation", "toAckReservation"), ("odd", "odd")):
        server.add("GET", f"{JOBS}/4", 200, {**WAITING, "state": state}, times=1)
        job = api.job(4)
        assert job is not None and job.state == expected


def test_jobs_by_name_are_asked_for_one_by_one(api: Grid5000Api, server: Server) -> None:
    listed = [{key: value for key, value in RUNNING.items() if key != "assigned_nodes"}]
    listed.append({**listed[0], "uid": 3, "state": "error"})
    server.add("GET", f"{JOBS}?limit=500&user=alice&name=rec", 200, {"total": 2, "offset": 0, "items": listed})
    server.add("GET", f"{JOBS}?limit=500&user=bob", 200, {"total": 0, "offset": 0, "items": []})
    server.add("GET", f"{JOBS}/4", 200, RUNNING)
    (job,) = api.named("rec")
    assert (job.id, len(job.nodes)) == (4, 3)
    assert api.jobs("bob") == []


def test_a_job_that_is_being_deleted_is_not_found(api: Grid5000Api, server: Server) -> None:
    server.add("GET", f"{JOBS}?limit=500&user=alice&name=rec", 200, {"items": [RUNNING]})
    server.add("GET", f"{JOBS}/4", 200, {**RUNNING, "events": KILLED})
    assert api.named("rec") == []


@pytest.mark.parametrize(
    ("status", "answer", "plain", "how"),
    [
        (
            400,
            refusal(400, 8, "There are not enough resources for your request\nOAR_JOB_ID=-5\n"),
            "too few: asked for 442 nodes",
            "oarsub, exit code 8",
        ),
        (
            500,
            refusal(500, 254, "[ADMISSION RULE] Error: unknown job type: weird\n"),
            "no type of job 'weird'",
            "oarsub, exit code 254",
        ),
        (
            400,
            "The job you are trying to submit is not valid: Syntax error in reservation start date, should at least",
            "Syntax error in reservation start date",
            "HTTP 400",
        ),
        (400, "The job you are trying to submit is not valid: you must give a :command", "you must give", "HTTP 400"),
        (403, "You are not authorized to access this resource", "another user's", "HTTP 403"),
    ],
)
def test_refusals(api: Grid5000Api, server: Server, status: int, answer: str, plain: str, how: str) -> None:
    server.add("POST", JOBS, status, answer)
    with pytest.raises(OarError) as error:
        api.submit(Request("web", 442, 600))
    assert str(error.value).startswith(f"reserve: reserving 'web' was refused by OAR at {api.where}")
    assert plain in str(error.value) and f"({how})" in str(error.value) and "Cmd" not in str(error.value)
    assert not isinstance(error.value, Unanswered), "nothing is to be asked again"
    assert len(server.calls("POST")) == 1


def test_there_is_no_such_job(api: Grid5000Api, server: Server) -> None:
    server.add("GET", f"{JOBS}/99", 404, "Couldn't find OAR::Job with 'job_id'=\"99\"")
    assert api.job(99) is None


def test_a_job_is_released(api: Grid5000Api, server: Server) -> None:
    job = Job(4, "rec", "alice", "Running")
    server.add("DELETE", f"{JOBS}/4", 202, "", times=1)
    api.release(job)
    server.add("DELETE", f"{JOBS}/4", 403, "You are not authorized to access this resource", times=1)
    with pytest.raises(OarError, match=r"releasing job 4 \(rec\) was refused .*another user's \(HTTP 403\)"):
        api.release(job)
    said = (
        "failed with status 400: Oardel command exited with status 1536: Cannot frag 4 ; This job was already killed."
    )
    server.add("DELETE", f"{JOBS}/4", 400, said)
    api.release(job)


def test_a_job_is_extended(api: Grid5000Api, server: Server) -> None:
    server.add("GET", f"{JOBS}/4", 200, {**RUNNING, "site": "grenoble"})
    server.add("POST", f"{JOBS}/4/walltime", 202, {"status": "Accepted"}, times=1)
    job = api.job(4)
    assert job is not None
    api.extend(job, 600)
    assert server.calls("POST")[0].body == {"walltime": "+0:10:0"}
    server.add("POST", f"{JOBS}/4/walltime", 403, "job 4 is not running")
    with pytest.raises(OarError, match="only a running job can be given more time"):
        api.extend(job, 600)


def test_answers_that_are_none_may_be_asked_again(api: Grid5000Api, server: Server) -> None:
    server.add("GET", f"{JOBS}/4", 503, "Service Unavailable")
    with pytest.raises(Unanswered, match="HTTP 503"):
        api.job(4)


@pytest.mark.parametrize("answer", ["{", "true", '{"items": [true]}', f'{{"items": [{"1" * 5000}]}}', "[" * 100_000])
def test_lists_that_are_none(api: Grid5000Api, server: Server, answer: str) -> None:
    server.add("GET", f"{JOBS}?limit=500&user=bob", 200, answer)
    with pytest.raises(Unanswered, match="answer"):
        api.jobs("bob")


def test_a_password_that_is_wrong(server: Server) -> None:
    with pytest.raises(
        NotAdmitted, match=r"site grenoble \(alice\) does not accept the user or the password \(HTTP 401\)"
    ):
        Grid5000Api("grenoble", "alice", "wrong", f"{server.url}/stable")


def test_a_site_that_does_not_exist(server: Server) -> None:
    server.add("GET", "/stable/sites/nowhere", 404, "Cannot find resource /sites/nowhere")
    with pytest.raises(OarError, match="there is no site 'nowhere'"):
        Grid5000Api("nowhere", "alice", "secret", f"{server.url}/stable")


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setattr("urllib3.util.retry.Retry.sleep", lambda *_args: None)
    with pytest.raises(Unanswered, match="does not answer: Connection refused"):
        Grid5000Api("grenoble", "alice", "secret", f"http://127.0.0.1:{port}/stable")


def test_certificates_that_do_not_exist() -> None:
    with pytest.raises(InputError, match="ca_file: /nowhere does not exist"):
        Grid5000Api("grenoble", ca_file="/nowhere")


def test_a_library_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grid5000", None)
    with pytest.raises(ComposeError, match=f"'grid5000' is missing from {sys.executable} .*'python-grid5000>=1.2'"):
        Grid5000Api("grenoble")
