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
