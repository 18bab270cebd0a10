"""Connections, and what is written down."""

from __future__ import annotations

import re
import time

import pytest
import requests
from proxmox import server

from .conftest import Client, Simulate

LINE = re.compile(
    r'(?P<time>\S+) "(?P<call>\S+ \S+) HTTP/1\.1" (?P<status>\S+) \S+ connection=(?P<port>\d+)(?P<vms>.*)'
)


def calls(pve: Client) -> list[re.Match[str]]:
    """Lines of the access log."""
    lines = (pve.cluster.state / "access.log").read_text().splitlines()
    return [match for line in lines if (match := LINE.fullmatch(line))]


def test_a_connection_serves_a_hundred_calls(pve: Client) -> None:
    for _dummy in range(150):
        pve.get("/version")
    ports = [call["port"] for call in calls(pve)]
    assert [ports.count(port) for port in dict.fromkeys(ports)] == [100, 50]


def test_an_idle_connection_is_closed(pve: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.1)
    pve.get("/version")
    time.sleep(0.5)
    pve.get("/version")
    first, second = (call["port"] for call in calls(pve))
    assert first != second


def test_calls_are_written_down(pve: Client) -> None:
    assert pve.task("POST", "/nodes/pve1/qemu", vmid=100) == "OK"
    assert pve.task("POST", "/nodes/pve1/qemu/100/clone", newid=101) == "OK"
    control = f"{pve.server.url}/control/faults"
    pve.session.put(control, json=[{"kind": "reset", "vmid": 101, "times": 1}])
    with pytest.raises(requests.ConnectionError):
        pve.call("GET", "/nodes/pve1/qemu/101/config")
    found = [(call["call"], call["status"], call["vms"]) for call in calls(pve) if "/tasks/" not in call["call"]]
    assert found == [
        ("POST /api2/json/nodes/pve1/qemu", "200", " vm=100"),
        ("POST /api2/json/nodes/pve1/qemu/100/clone", "200", " vm=100 vm=101"),
        ("PUT /control/faults", "200", ""),
        ("GET /api2/json/nodes/pve1/qemu/101/config", "reset", " vm=101"),
    ]


def test_times_of_tasks_are_written_down(simulate: Simulate) -> None:
    pve = simulate(task_seconds={"qmcreate": 5})
    assert pve.task("POST", "/nodes/pve1/qemu", vmid=100) == "OK"
    begin, end, upid, status = (pve.cluster.state / "tasks" / "times").read_text().split()
    assert float(end) - float(begin) >= 0.09
    assert ":qmcreate:100:" in upid and status == "OK"


@pytest.mark.parametrize("verb", ["HEAD", "OPTIONS", "PATCH"])
def test_methods_that_are_not_available(pve: Client, verb: str) -> None:
    answer = pve.session.request(verb, f"{pve.server.url}/api2/json/version")
    assert (answer.status_code, answer.reason) == (501, f"method '{verb}' not available")


def test_bodies_that_are_not_taken(pve: Client) -> None:
    """AnyEvent.pm: process_header, authenticate_and_handle_request."""
    url = f"{pve.server.url}/api2/json/pools"
    for body, headers, error in (
        (iter([b"poolid=a1"]), {}, (501, "chunked transfer encoding not supported")),
        ("<a/>", {"Content-Type": "text/xml"}, (506, "upload 'Content-Type 'text/xml' not implemented")),
        ("{", {"Content-Type": "application/json"}, (500, "malformed JSON string")),
    ):
        answer = pve.session.post(url, data=body, headers=headers)
        assert (answer.status_code, answer.reason[: len(error[1])]) == error


def test_paths_beside_the_json_api(pve: Client) -> None:
    for path, reason in (("/api2/xml/version", "no formatter for uri /version, xml"), ("/api3", "no such uri")):
        answer = pve.session.get(f"{pve.server.url}{path}")
        assert (answer.status_code, answer.reason) == (501, reason)
    assert "version" in [entry["subdir"] for entry in pve.get("/")]


def test_json_and_forms_are_the_same(pve: Client) -> None:
    url = f"{pve.server.url}/api2/json/nodes/pve1/qemu"
    answer = pve.session.post(url, json={"vmid": 100, "onboot": True, "cores": 2, "tags": ["b", "a"]})
    pve.wait(answer.json()["data"])
    assert {"onboot": 1, "cores": 2, "tags": "a;b"}.items() <= pve.config().items()
    repeated = pve.session.put(f"{url}/100/config", data="delete=cores&delete=tags")
    assert (repeated.status_code, "cores" in pve.config()) == (200, False)
    nested = pve.session.put(f"{url}/100/config", json={"cores": {"a": 1}})
    assert nested.json()["errors"] == {"cores": "type check ('integer') failed - got HASH"}
