"""Rules of the stand-in for Kadeploy that the records of calls do not show."""

from __future__ import annotations

import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest
import requests
from kadeploy.main import start  # type: ignore[import-not-found]  # conftest.py adds its directory
from kadeploy.nodesets import expand, fold  # type: ignore[import-not-found]
from kadeploy.options import ClusterOptions, Options  # type: ignore[import-not-found]

from .conftest import SIMULATORS, eventually

Json = dict[str, t.Any]
DEMO = {"kind": "database", "user": "alice", "name": "demo", "version": "1"}
IMAGE = {"file": "server:///srv/images/test.tgz", "kind": "tar", "compression": "gzip"}
ENVIRONMENT = {"name": "own", "os": "linux", "image": IMAGE, "boot": {"kernel": "/vmlinuz"}, "filesystem": "ext4"}


class Client:
    """A user of the REST interface."""

    def __init__(self, url: str, core: t.Any) -> None:
        self.url = url
        self.core = core
        self.session = requests.Session()
        self.session.trust_env = False

    def call(self, method: str, path: str, body: Json | None = None, user: str = "alice") -> requests.Response:
        """One call."""
        headers = {"X-Kadeploy-User": user}
        return self.session.request(method, self.url + path, json=body, headers=headers, timeout=60)

    def get(self, path: str, user: str = "alice") -> t.Any:
        """What is found."""
        found = self.call("GET", path, user=user)
        assert found.status_code == 200, found.text
        return found.json() if "json" in found.headers["Content-Type"] else found.text

    def deploy(self, *nodes: str, **more: t.Any) -> str:
        """Begin a deployment."""
        found = self.call("POST", "/deployment", {"nodes": list(nodes), "environment": DEMO, **more})
        assert found.status_code == 200, found.text
        return f"/deployment/{found.json()['wid']}"

    def end(self, where: str) -> Json:
        """Wait for the end of a workflow."""
        found: Json = eventually(lambda: (about := self.get(where))["done"] and about)
        return found


Serve = t.Callable[..., Client]


@pytest.fixture
def serve(tmp_path: Path) -> t.Iterator[Serve]:
    """Starts servers with options; a simulated second takes 5 ms."""
    running = []

    def begin(**options: t.Any) -> Client:
        rights = {"alice": ["sim-[1-8]", "node-[1-48]"], "bob": []}
        chosen = Options(**{"pace": 0.005, "rights": rights, **options})
        server, core = start(tmp_path / f"state{len(running)}", 0, chosen)
        running.append((server, core))
        return Client(server.url, core)

    yield begin
    for server, core in running:
        server.shutdown()
        server.server_close()
        core.stop()


def test_busy_nodes_are_left_out_without_a_word(serve: Serve) -> None:
    client = serve(pace=0.05)
    first = client.deploy("node-[1-2]")
    eventually(lambda: client.core.database.busy("node-2", 900))
    second = client.deploy("node-[2-3]")
    eventually(lambda: client.get(f"{second}/state").get("node-2"))
    assert client.get(f"{second}/state")["node-2"] == {"state": "discarded"}
    about = client.end(second)
    assert about["error"] is False
    assert about["nodes"] == {"ok": ["node-3"], "ko": []}
    assert "The nodes node-2 are already involved in deployment, let's discard them" in client.get(f"{second}/logs")
    assert client.end(first)["nodes"]["ok"] == ["node-1", "node-2"]


def test_all_discarded_is_an_error(serve: Serve) -> None:
    client = serve(pace=0.05)
    first = client.deploy("node-1")
    eventually(lambda: client.core.database.busy("node-1", 900))
    second = client.deploy("node-1")
    about = client.end(second)
    assert about["error"] is True
    assert set(about) == {"wid", "user", "done", "error", "start_time", "environment", "time"}
    assert about["environment"]["id"] is None
    refused = client.call("GET", f"{second}/error")
    assert (refused.status_code, refused.headers["X-Application-Error-Code"]) == (400, "14")
    assert refused.text == "No element has been modified -- All the nodes have been discarded ...\n"
    for what in ("state", "status", "logs"):
        assert client.get(f"{second}/{what}") == "\n"
    assert client.end(first)["nodes"]["ok"] == ["node-1"]
    forced = client.deploy("node-1", force=True)
    assert client.end(forced)["nodes"]["ok"] == ["node-1"]


def test_two_clusters_end_together(serve: Serve) -> None:
    client = serve()
    created = client.call("POST", "/deployment", {"nodes": ["sim-1", "node-1"], "environment": DEMO}).json()
    assert list(created["resources"]["logs"]) == ["sim", "dummy"]
    where = f"/deployment/{created['wid']}"
    assert client.end(where)["nodes"]["ok"] == ["sim-1", "node-1"]
    logs = client.get(f"{where}/logs")
    assert "|Clusters involved in the operation:\n" in logs
    assert "|[c1] Launching a deployment on " in logs
    assert "|[c2] End of deployment on cluster " in logs
    assert client.get(f"{where}/logs") == "\n"


def test_a_step_that_takes_too_long(serve: Serve) -> None:
    client = serve()
    client.core.faults._write([{"kind": "hang", "machine": "sim-2", "step": "create_partition_table"}])
    ways = {"SetDeploymentEnv": "Untrusted", "BroadcastEnv": "Chain", "BootNewEnv": "Classical"}
    automata = {macro: [{"name": macro + way, "retries": 0, "timeout": 20}] for macro, way in ways.items()}
    where = client.deploy("sim-[1-2]", automata=automata)
    assert client.end(where)["nodes"] == {"ok": [], "ko": ["sim-1", "sim-2"]}
    state = client.get(f"{where}/state")["sim-2"]
    error = "SetDeploymentEnvUntrusted-create_partition_table: Timeout in the SetDeploymentEnvUntrusted step"
    assert state == {
        "macro": "SetDeploymentEnvUntrusted",
        "micro": "create_partition_table",
        "state": "ko",
        "error": error,
    }
    assert "Timeout in the SetDeploymentEnvUntrusted step, let's kill the instance" in client.get(f"{where}/logs")


def test_the_next_way_is_tried(serve: Serve) -> None:
    clusters = {"dahu": ClusterOptions(["dahu-[1-3].grenoble.grid5000.fr"], "grid5000")}
    client = serve(version="3.9.3", clusters=clusters, rights={"alice": ["dahu-[1-3].grenoble.grid5000.fr"]})
    fault = {"kind": "no_boot", "machine": "dahu-2.grenoble.grid5000.fr", "system": "user"}
    client.core.faults._write([{**fault, "times": 1}, {**fault, "machine": "dahu-3.grenoble.grid5000.fr"}])
    where = client.deploy("dahu-[1-3].grenoble.grid5000.fr", environment={"name": "demo", "kind": "database"})
    about = client.end(where)
    assert about["nodes"]["ok"] == ["dahu-1.grenoble.grid5000.fr", "dahu-2.grenoble.grid5000.fr"]
    state = client.get(f"{where}/state")["dahu-3.grenoble.grid5000.fr"]
    assert state["error"] == "BootNewEnvHardReboot-wait_reboot: Unreachable after the reboot"
    logs = client.get(f"{where}/logs")
    assert "Performing a Deploy[SetDeploymentMiniOSTrusted] step" in logs
    assert "[2] Performing a Deploy[BootNewEnvHardReboot] step" in logs


def test_rights_that_are_taken_away_end_what_goes_on(serve: Serve) -> None:
    client = serve(pace=0.05)
    where = client.deploy("sim-1")
    eventually(lambda: client.core.machines["sim-1"].network_boot)
    gone = client.call("DELETE", "/rights/alice", user="root")
    assert (gone.status_code, gone.json()) == (200, {"alice": {"*": ["*"]}})
    missing = client.call("GET", where)
    assert (missing.status_code, missing.text) == (400, "Invalid workflow ID\n")
    assert client.get("/nodes/sim-1")["state"] == "aborted"
    assert client.core.machines["sim-1"].network_boot
    refused = client.call("POST", "/deployment", {"nodes": ["sim-1"], "environment": DEMO})
    assert refused.headers["X-Application-Error-Code"] == "6"


def test_rights_of_others(serve: Serve) -> None:
    client = serve()
    body = {"username": "bob", "nodes": ["sim-1"]}
    refused = client.call("POST", "/rights", body, user="root")
    assert refused.headers["X-Application-Error-Code"] == "11"
    assert client.call("POST", "/rights", {**body, "overwrite": True}, user="root").json() == {"bob": {"sim-1": ["*"]}}
    assert client.call("GET", "/rights/alice/sim-1", user="root").status_code == 404
    again = client.call("POST", "/rights", {**body, "overwrite": True}, user="root")
    assert again.headers["X-Application-Error-Code"] == "14"


def test_environments_of_others(serve: Serve) -> None:
    client = serve()
    assert client.call("POST", "/environments", {"environment": {**ENVIRONMENT, "alias": "x"}}).status_code == 200
    assert "alias" not in client.get("/environments?name=own")[0]
    theirs = client.call("GET", "/environments?name=own&username=alice", user="bob")
    assert theirs.status_code == 404
    client.call("PUT", "/environments/alice/own/1", {"visibility": "shared"})
    assert client.get("/environments?name=own&username=alice", user="bob")[0]["user"] == "alice"
    denied = client.call("DELETE", "/environments/alice/own/1", user="bob")
    assert denied.text == "Forbidden -- Only administrators are allowed to delete other user's environment\n"
    missing = {"kind": "database", "user": "alice", "name": "nope"}
    refused = client.call("POST", "/deployment", {"nodes": ["sim-1"], "environment": missing})
    assert refused.text == "Invalid environment specification -- the environment nope, of alice does not exist\n"


def test_architectures_of_one_name(serve: Serve) -> None:
    client = serve(version="3.9.3")
    image = {**IMAGE, "compression": "zstd"}
    for arch in ("x86_64", "aarch64"):
        given = {**ENVIRONMENT, "image": image, "arch": arch, "alias": f"own-{arch}"}
        assert client.call("POST", "/environments", {"environment": given}).status_code == 200
    assert [found["arch"] for found in client.get("/environments?name=own&last")] == ["x86_64", "aarch64"]
    assert client.get("/environments?name=own-aarch64&last")[0]["arch"] == "aarch64"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "bmc_silent"}, "SetDeploymentEnvUntrusted-reboot: bmc does not answer"),
        ({"kind": "post_install"}, "BroadcastEnvChain-manage_user_post_install: post-install failed\n"),
        ({"kind": "fail", "step": "sync", "error": "no space"}, "BroadcastEnvChain-sync: no space"),
        (
            {"kind": "no_boot", "system": "deploy"},
            "SetDeploymentEnvUntrusted-wait_reboot: Unreachable after the reboot",
        ),
    ],
)
def test_faults_of_a_machine(serve: Serve, fault: Json, error: str) -> None:
    client = serve()
    client.call("PUT", "/control/faults")
    client.session.post(f"{client.url}/control/faults", json={**fault, "machine": "sim-1"}, timeout=60)
    where = client.deploy("sim-[1-2]")
    assert client.end(where)["nodes"] == {"ok": ["sim-2"], "ko": ["sim-1"]}
    assert client.get(f"{where}/state")["sim-1"]["error"] == error
    client.session.delete(f"{client.url}/control/faults", timeout=60)
    assert client.end(client.deploy("sim-1"))["nodes"]["ok"] == ["sim-1"]


def test_a_machine_that_is_lost(serve: Serve) -> None:
    client = serve()
    client.core.faults._write([{"kind": "lost", "machine": "sim-1"}])
    about = client.end(client.deploy("sim-[1-2]"))
    assert about["nodes"] == {"ok": ["sim-2"], "ko": []}


def test_calls_that_fail_for_a_while(serve: Serve) -> None:
    client = serve()
    client.core.faults._write([{"kind": "http", "path": "^/version", "status": 503, "times": 2}])
    assert [client.call("GET", "/version").status_code for _try in range(3)] == [503, 503, 200]
    client.core.faults._write([{"kind": "reset", "path": "^/version", "times": 1}])
    with pytest.raises(requests.ConnectionError):
        client.call("GET", "/version")


def test_a_breakpoint_counts_as_success(serve: Serve) -> None:
    client = serve()
    where = client.deploy("sim-1", breakpoint="BroadcastEnv")
    assert client.end(where)["nodes"]["ok"] == ["sim-1"]
    assert client.get(f"{where}/state")["sim-1"]["state"] == "brk"


def test_five_hundred_nodes_take_no_longer_than_one(serve: Serve) -> None:
    clusters = {"big": ClusterOptions(["big-[1-500]"], "classical")}
    client = serve(clusters=clusters, rights={"alice": ["big-[1-500]"]}, pace=0.01)
    began = time.monotonic()
    assert len(client.end(client.deploy("big-[1-500]"))["nodes"]["ok"]) == 500
    assert time.monotonic() - began < 15


def test_bodies_that_are_not_json(serve: Serve) -> None:
    client = serve()
    headers = {"X-Kadeploy-User": "alice", "Content-Type": "application/json"}
    answer = requests.post(f"{client.url}/deployment", data="{", headers=headers, timeout=60)
    assert (answer.status_code, answer.text.split(" -- ")[0]) == (415, "Unsupported Media Type")
    assert requests.get(f"{client.url}/nodes", timeout=60).status_code == 401
    crash = client.call("POST", "/deployment", {"nodes": ["sim-1"]})
    assert (crash.status_code, crash.text.splitlines()[0]) == (500, "---- NoMethodError ----")


def test_names_are_written_short() -> None:
    assert expand("dahu-[1-2,07].grenoble.grid5000.fr") == [
        "dahu-1.grenoble.grid5000.fr",
        "dahu-2.grenoble.grid5000.fr",
        "dahu-07.grenoble.grid5000.fr",
    ]
    assert fold(["sim-3", "sim-1", "sim-2", "sim-10"]) == "sim-[1-3,10]"
    assert fold(["sim-4"]) == "sim-4"


def test_the_program(tmp_path: Path) -> None:
    command = [sys.executable, str(SIMULATORS / "kadeploy/serve"), "--port", "0", "--state", str(tmp_path / "new")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready, url = process.stdout.readline().split()
        assert ready == "ready"
        environment = {"USER": "alice", "KADEPLOY3_CONFIG_DIR": str(tmp_path / "new"), "PATH": "/usr/bin:/bin"}
        shown = [sys.executable, str(SIMULATORS / "kadeploy/bin/kaenv3"), "-l"]
        listed = subprocess.run(shown, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout
        assert listed.splitlines()[2] == "demo                  1       alice       demo"
        assert requests.get(f"{url}/version", timeout=60).text == "3.3.11\n"
        process.terminate()
        assert process.wait(60) == 0
