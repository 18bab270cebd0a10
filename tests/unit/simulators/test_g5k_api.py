"""The stand-in for the API of Grid'5000 answers recorded calls as the real one did, as its OpenAPI document says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
import typing as t
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import jsonschema
import pytest
import requests
from g5k_api.main import start as start_api  # type: ignore[import-not-found]  # conftest.py adds its directory
from g5k_api.options import Options as ApiOptions  # type: ignore[import-not-found]
from kadeploy.main import start  # type: ignore[import-not-found]
from kadeploy.options import Options  # type: ignore[import-not-found]

from .conftest import SIMULATORS, eventually

Json = dict[str, t.Any]
RECORDS = SIMULATORS / "g5k_api/records"
SCENARIOS: dict[str, list[Json]] = json.loads((RECORDS / "g5k-api-3.11.13.json").read_text())["scenarios"]
OPENAPI: Json = json.loads((RECORDS / "openapi-3.11.13.json").read_text())
# Where the real answers differ from the document: there is no result before the end, nor are there fields that
# Kadeploy 3.3 does not know; a number is a number.
OPENAPI["components"]["schemas"]["Deployment"]["required"].remove("result")
_ENVIRONMENT = OPENAPI["components"]["schemas"]["Environment"]
_ENVIRONMENT["required"] = [
    name for name in _ENVIRONMENT["required"] if name not in ("arch", "alias", "author", "postinstalls")
]
_ENVIRONMENT["properties"]["partition_type"] = {"type": "integer"}
PACE = 0.01
_UID = re.compile(r"[DRP]-[0-9a-f-]{36}")


def validate(method: str, path: str, answer: requests.Response) -> None:
    """Compare an answer with the OpenAPI document."""
    for template, methods in OPENAPI["paths"].items():
        pattern = re.sub(r"\{[^}]*\}", "[^/]+", template)
        if re.fullmatch(f"/stable{pattern}", path.split("?")[0]) and method.lower() in methods:
            break
    else:
        raise AssertionError(f"{method} {path} is not in the document")
    for kind, media in methods[method.lower()]["responses"].get(str(answer.status_code), {}).get("content", {}).items():
        if answer.headers["Content-Type"].startswith(kind) and "schema" in media:
            schema = {**media["schema"], "components": OPENAPI["components"]}
            jsonschema.Draft202012Validator(schema).validate(answer.json())


class Client:
    """A user of the API."""

    def __init__(self, url: str, api: t.Any, kadeploy: t.Any) -> None:
        self.url = url
        self.api = api
        self.kadeploy = kadeploy
        self.session = requests.Session()
        self.session.trust_env = False
        self.site = "/stable/sites/grenoble"

    def call(self, method: str, path: str, body: Json | None = None, user: str | None = "alice") -> requests.Response:
        """One call; its answer is as the document says."""
        auth = (user, user) if user else None
        url = self.url + (path if path.startswith("/stable") else self.site + path)
        found = self.session.request(method, url, json=body, auth=auth, timeout=60)
        if found.status_code < 400:
            validate(method, url.removeprefix(self.url), found)
        return found

    def get(self, path: str) -> Json:
        """What is found."""
        found = self.call("GET", path)
        assert found.status_code == 200, found.text
        body: Json = found.json()
        return body

    def run(self, resources: str = "nodes=1", **more: t.Any) -> Json:
        """A job that runs."""
        body = {"resources": resources, "command": "sleep 3600", "types": ["deploy"], **more}
        found = self.call("POST", "/jobs", body)
        assert found.status_code == 201, found.text
        job: Json = eventually(lambda: (j := self.get(f"/jobs/{found.json()['uid']}"))["state"] == "running" and j)
        eventually(lambda: self.kadeploy.database.granted(job["user"], job["assigned_nodes"]))
        return job

    def deploy(self, nodes: list[str], environment: str = "demo@alice", **more: t.Any) -> str:
        """Begin a deployment."""
        found = self.call("POST", "/deployments", {"nodes": nodes, "environment": environment, **more})
        assert found.status_code == 201, found.text
        return f"/deployments/{found.json()['uid']}"

    def end(self, where: str) -> Json:
        """Wait for the end of a deployment."""
        found: Json = eventually(lambda: (about := self.get(where))["status"] != "processing" and about)
        return found


Serve = t.Callable[..., Client]


@pytest.fixture
def serve(tmp_path: Path) -> t.Iterator[Serve]:
    """Starts Kadeploy and the API."""
    with ExitStack() as stack:

        def begin(pace: float = PACE, kadeploy: Json | None = None, **options: t.Any) -> Client:
            server, core = start(tmp_path / "kadeploy", 0, Options(pace=pace, **(kadeploy or {})))
            front, api = start_api(tmp_path / "api", server.url, 0, ApiOptions(pace=pace, **options))
            stack.callback(core.stop)
            for each in (server, front):
                stack.callback(each.server_close)
                stack.callback(each.shutdown)
            stack.callback(api.jobs.stop)
            core.url = server.url
            return Client(front.url, api, core)

        yield begin


#: What differs from run to run.
_VOLATILE = re.compile(r"(created|updated|submitted|scheduled|started|stopped)_at$")


def _steady(body: t.Any, url: str, uids: dict[str, str]) -> t.Any:
    if isinstance(body, list):
        return [_steady(entry, url, uids) for entry in body]
    if isinstance(body, dict):
        event = "type" in body and "description" in body
        return {
            key: 0 if _VOLATILE.search(key) and value else _steady(value, url, uids)
            for key, value in body.items()
            if not (event and key == "uid")
        }
    if isinstance(body, str):
        body = _UID.sub(lambda match: uids.get(match.group(), match.group()), body)
        body = body.replace("http://127.0.0.1:8888", url).replace("http://127.0.0.1:8000", url)
        return re.sub(r"oarapi\.subscript\.\w+", "oarapi.subscript.", body)
    return body


def _error(text: str) -> t.Any:
    """A text; JSON in it as what it means, since OAR puts its keys in any order."""
    before, brace, body = text.partition("{")
    return (before, json.loads(brace + body)) if brace else text


@pytest.mark.parametrize("scenario", list(SCENARIOS))
def test_recorded_scenario(serve: Serve, scenario: str) -> None:
    client = serve(first_job=4)
    uids: dict[str, str] = {}
    if scenario == "deploy_partial_failure":
        faults = [("sim-2", "no_boot", "user"), ("sim-3", "no_boot", "deploy"), ("sim-4", "bmc_silent", "")]
        client.kadeploy.faults._write([{"machine": m, "kind": k} | ({"system": s} if s else {}) for m, k, s in faults])
    for exchange in SCENARIOS[scenario]:
        request, recorded = exchange["request"], exchange["response"]
        path = _UID.sub(lambda match: uids.get(match.group(), match.group()), request["path"])
        if "limit=2" in path:
            continue  # others had been made before
        expected = recorded["body"]

        def call(request: Json = request, path: str = path) -> requests.Response:
            return client.call(request["method"], path, request.get("body"), request["user"])

        wanted = {key: expected[key] for key in ("state", "status") if isinstance(expected, dict) and key in expected}
        if request["method"] == "GET" and recorded["status"] == 200 and "/deployments/" in path and wanted:
            wanted = {} if wanted["status"] == "processing" else wanted
        found = (
            eventually(lambda: (a := call()).json().items() >= wanted.items() and a) if wanted else call()  # noqa: B023
        )
        where = f"{request['method']} {path}"
        assert found.status_code == recorded["status"], (where, found.text)
        assert found.headers["Content-Type"] == recorded["content_type"], where
        for key in ("Location", "Allow", "X-Oar-Info", "WWW-Authenticate"):
            if isinstance(expected, dict) and "uid" in expected and str(expected["uid"]).startswith("D-"):
                uids[expected["uid"]] = found.json()["uid"]
            assert found.headers.get(key) == _steady(recorded.get(key), client.url, uids), (where, key)
        if isinstance(expected, str):
            assert _error(_steady(found.text, client.url, uids)) == _error(_steady(expected, client.url, uids)), where
        elif expected.get("status") == "processing" and found.json()["status"] != "processing":
            continue  # this computer is too slow to look while it ran
        else:
            assert _steady(found.json(), client.url, uids) == _steady(expected, client.url, uids), where


def test_a_job_gives_rights_and_takes_them_away(serve: Serve) -> None:
    client = serve(pace=0.02)
    first, second = client.run("nodes=2"), client.run("nodes=1")
    assert not set(first["assigned_nodes"]) & set(second["assigned_nodes"])
    where = client.deploy(first["assigned_nodes"])
    assert client.call("DELETE", f"/jobs/{first['uid']}").status_code == 202
    about = client.end(where)
    assert (about["status"], about["output"]) == (
        "canceled",
        "The deployment no longer exists on the Kadeploy server",
    )
    ended = eventually(lambda: (j := client.get(f"/jobs/{first['uid']}"))["state"] == "error" and j)
    kinds = ["FRAG_JOB_REQUEST", "SEND_KILL_JOB", "SWITCH_INTO_ERROR_STATE"]
    assert [event["type"] for event in ended["events"]] == kinds
    refused = client.call("POST", "/deployments", {"nodes": first["assigned_nodes"], "environment": "demo@alice"})
    assert (refused.status_code, "sufficient rights" in refused.text) == (400, True)
    assert client.end(client.deploy(second["assigned_nodes"]))["status"] == "terminated"


def test_jobs_wait_for_nodes(serve: Serve) -> None:
    client = serve(pace=0.05, nodes=["node-[1-2]"])
    first = client.run("nodes=2,walltime=0:1:0")
    later = client.call("POST", "/jobs", {"resources": "nodes=1,walltime=0:1:0", "command": "sleep 5"}).json()
    waiting = eventually(lambda: (j := client.get(f"/jobs/{later['uid']}")).get("scheduled_at") and j)
    assert (waiting["state"], waiting["assigned_nodes"]) == ("waiting", [])
    assert abs(waiting["scheduled_at"] - first["started_at"] - 60) <= 3
    client.call("DELETE", f"/jobs/{first['uid']}")
    eventually(lambda: client.get(f"/jobs/{later['uid']}")["state"] == "terminated")


def test_the_walltime_ends_a_job(serve: Serve) -> None:
    client = serve()
    job = client.run("nodes=1,walltime=0:0:20")
    ended = eventually(lambda: (j := client.get(f"/jobs/{job['uid']}"))["state"] == "error" and j)
    assert ended["events"][0]["type"] == "WALLTIME"


def test_a_reservation_has_nodes_before_it_begins(serve: Serve) -> None:
    client = serve(pace=1)
    start = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() + 3600))
    job = client.call("POST", "/jobs", {"resources": "nodes=2", "command": "x", "reservation": start}).json()
    assert (job["state"], len(job["assigned_nodes"])) == ("waiting", 2)
    assert job["started_at"] == job["scheduled_at"] > time.time() + 3500
    old = {"resources": "nodes=1", "command": "x", "reservation": "2020-01-01 10:00:00"}
    refused = client.call("POST", "/jobs", old)
    assert (refused.status_code, "status 10: " in refused.text) == (400, True)


def test_properties_are_sql(serve: Serve) -> None:
    client = serve()
    job = client.run("nodes=1", properties="host = 'sim-3'")
    assert job["assigned_nodes"] == ["sim-3"]
    job = client.run("{cluster='sim'}/nodes=2+{cluster='node'}/nodes=1,walltime=1:0:0")
    assert sorted(node.split("-")[0] for node in job["assigned_nodes"]) == ["node", "sim", "sim"]
    refused = client.call("POST", "/jobs", {"command": "x", "properties": "nonsense ="})
    assert refused.status_code == 400
    core = client.call("POST", "/jobs", {"command": "x", "resources": "core=1", "types": ["deploy"]})
    assert (core.status_code, "'core' resource is not allowed with a deploy job" in core.text) == (500, True)


def test_a_longer_walltime(serve: Serve) -> None:
    client = serve()
    job = client.run("nodes=1,walltime=1:0:0")
    assert client.call("POST", f"/jobs/{job['uid']}/walltime", {"walltime": "+0:30"}).status_code == 202
    assert client.get(f"/jobs/{job['uid']}")["walltime"] == 5400
    assert client.get(f"/jobs/{job['uid']}/walltime")["walltime"] == "1:30:0"


def test_a_deployment_that_is_canceled(serve: Serve) -> None:
    client = serve(pace=0.05)
    where = client.deploy(["sim-1"])
    assert client.call("DELETE", where, user="bob").status_code == 403
    gone = client.call("DELETE", where)
    assert (gone.status_code, gone.text) == (202, "")
    assert client.get(where)["status"] == "canceled"
    assert client.call("DELETE", where).status_code == 202
    assert client.kadeploy.database.state("sim-1")["state"] == "aborted"


def test_a_deployment_that_fails_as_a_whole(serve: Serve) -> None:
    client = serve()
    client.kadeploy.faults._write([{"kind": "lost"}])
    about = client.end(client.deploy(["sim-1"]))
    output = "No element has been modified -- All the nodes have been discarded ..."
    assert (about["status"], about["output"], "result" in about) == ("error", output, False)


def test_keys_and_descriptions(serve: Serve, tmp_path: Path) -> None:
    client = serve()
    description = "name: own\nos: linux\nfilesystem: ext4\nboot: {kernel: /vmlinuz}\n"
    description += "image: {file: 'server:///srv/images/test.tgz', kind: tar, compression: gzip}\n"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(description.encode())

        def log_message(self, format: str, *args: t.Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{web.server_address[1]}/own.yaml"
        where = client.deploy(["sim-1"], url, key="ssh-ed25519 AAAA alice\n")
        about = client.end(where)
        web.shutdown()
    assert about["result"]["sim-1"]["state"] == "OK"
    key = requests.get(about["key"], timeout=60)
    assert key.text == "ssh-ed25519 AAAA alice\n"


def test_pages(serve: Serve) -> None:
    client = serve()
    for _number in range(3):
        client.call("POST", "/jobs", {"command": "sleep 3600", "name": "x"})
    page = client.get("/jobs?limit=2&offset=1&user=alice")
    assert (page["total"], page["offset"], [job["uid"] for job in page["items"]]) == (3, 1, [2, 1])
    assert client.get("/jobs?name=y")["total"] == 0
    assert "assigned_nodes" not in page["items"][0]


def test_the_reference(serve: Serve) -> None:
    client = serve()
    assert client.get("/stable/sites")["items"][0]["uid"] == "grenoble"
    assert [cluster["uid"] for cluster in client.get("/clusters")["items"]] == ["sim", "node"]
    assert len(client.get("/clusters/sim/nodes")["items"]) == 8
    assert client.get("/clusters/sim/nodes/sim-1")["type"] == "node"
    assert client.call("GET", "/clusters/none").status_code == 404
    job = client.run("nodes=1", properties="host = 'sim-3'")
    status = client.get("/status")["nodes"]["sim-3"]
    assert (status["soft"], status["reservations"][0]["uid"]) == ("busy", job["uid"])
    environment = client.get("/environments")["items"][0]
    assert client.get(f"/environments/{environment['uid']}")["name"] == "demo"


def test_the_program(serve: Serve, tmp_path: Path) -> None:
    url = serve().kadeploy.url
    command = [sys.executable, str(SIMULATORS / "g5k_api/serve"), "--state", str(tmp_path / "new"), "--kadeploy", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready, address = process.stdout.readline().split()
        assert (ready, requests.get(f"{address}/stable/sites", timeout=60).status_code) == ("ready", 401)
        process.terminate()
        assert process.wait(60) == 0
