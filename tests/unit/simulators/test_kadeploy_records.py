"""The stand-in for Kadeploy answers recorded calls as the real server did."""

from __future__ import annotations

import json
import re
import time
import typing as t
from pathlib import Path

import pytest
import requests
from kadeploy.main import start  # type: ignore[import-not-found]  # conftest.py adds its directory
from kadeploy.options import Options  # type: ignore[import-not-found]

from .conftest import SIMULATORS, eventually

Json = dict[str, t.Any]
SCENARIOS: dict[str, list[Json]] = json.loads((SIMULATORS / "kadeploy/records/kadeploy-3.3.11.json").read_text())[
    "scenarios"
]
PACE = 0.01
#: Scenario → machines that were off before it, and the faults that they had.
BROKEN: dict[str, tuple[list[str], list[Json]]] = {
    "deploy_ok_simulated_hardware": (["sim-2"], []),
    "deploy_partial_failure": (
        ["sim-3", "sim-4"],
        [
            {"kind": "no_boot", "machine": "sim-2", "system": "user"},
            {"kind": "no_boot", "machine": "sim-3", "system": "deploy"},
            {"kind": "bmc_silent", "machine": "sim-4"},
        ],
    ),
}
_WID = re.compile(r"[DRP]-[0-9a-f-]{36}")
#: What differs from run to run.
_VOLATILE = ("start_time", "time")


class Replay:
    """Makes the calls of a scenario."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self.wids: dict[str, str] = {}
        self.logs: tuple[list[str], list[str]] = ([], [])

    def call(self, request: Json) -> requests.Response:
        """One call, with the identifiers of this run."""
        path = _WID.sub(lambda match: self.wids.get(match.group(), match.group()), request["path"])
        headers = {"X-Kadeploy-User": request["user"]}
        return self.session.request(
            request["method"], self.url + path, json=request.get("body"), headers=headers, timeout=60
        )

    def answer(self, exchange: Json) -> requests.Response:
        """One call; waits for a workflow whose end was recorded."""
        body = exchange["response"]["body"]
        if isinstance(body, dict) and body.get("done"):
            return eventually(lambda: (found := self.call(exchange["request"])).json().get("done") and found)
        return self.call(exchange["request"])

    def compare(self, exchange: Json) -> None:
        """One call, and whether its answer is the recorded one."""
        request, recorded = exchange["request"], exchange["response"]
        found = self.answer(exchange)
        where = f"{request['method']} {request['path']}"
        assert found.status_code == recorded["status"], (where, found.text)
        assert found.headers["Content-Type"] == recorded["content_type"], where
        for key in ("X-Application-Error-Code", "X-Application-Error-Info"):
            assert found.headers.get(key) == recorded.get(key), where
        expected = recorded["body"]
        body: t.Any = found.json() if isinstance(expected, dict | list) else found.text
        if request["method"] in ("POST", "PUT", "GET") and isinstance(body, dict) and "resources" in body:
            self.wids[expected["wid"]] = body["wid"]
        if isinstance(expected, str):
            if "|" in expected:
                self.logs[0].extend(_lines(expected))
                self.logs[1].extend(_lines(body))
            elif "localhost:25300" not in expected and "Stack trace" not in expected:
                assert body == expected, where
            else:
                assert _place(body) == _place(expected), where
            return
        if isinstance(expected, dict) and expected.get("done") is False and body.get("done"):
            return  # this computer is too slow to look while it ran
        self._same(body, expected, where)

    def _same(self, body: t.Any, expected: t.Any, where: str) -> None:
        text = _WID.sub(lambda match: self.wids.get(match.group(), match.group()), json.dumps(expected))
        if re.search("/(state|status)$", where) and body not in ({}, json.loads(text)):
            # Of what is under way, the form: it has gone on; maybe to its end, where this computer is slow.
            if body == {} or all(state.get("macro", "") is None for state in body.values()):
                return
            assert _form(body) == _form(json.loads(text)), where
            return
        assert _steady(body) == _steady(json.loads(text)), where


def _place(text: str) -> str:
    """Without the port of the server, and the lines of its sources."""
    return re.sub(r"localhost:\d+", "", text)


def _lines(text: str) -> list[str]:
    """Lines of a log, without times."""
    return [line.split("|", 1)[1] for line in text.splitlines() if line]


def _steady(body: t.Any) -> t.Any:
    """Without what differs from run to run; whether there are unread lines is a matter of milliseconds."""
    if isinstance(body, list):
        return [_steady(entry) for entry in body]
    if isinstance(body, dict):
        gone = (*_VOLATILE, "logs") if body.get("done") is False else _VOLATILE
        return {key: _steady(value) for key, value in body.items() if key not in gone or isinstance(value, dict)}
    return body


def _form(body: t.Any) -> t.Any:
    """The shape of an answer: names of nodes and clusters, types of the rest."""
    if isinstance(body, dict):
        named = {key: _form(value) for key, value in body.items()}
        steps = [
            value for key, value in named.items() if not re.match(r"(sim|node)\b|macro|micro|state|nodes|time", key)
        ]
        return {
            key: value for key, value in named.items() if re.match(r"(sim|node)\b|macro|micro|state|nodes|time", key)
        } | ({"step": steps[0]} if steps and isinstance(steps[0], dict) else {})
    return type(body).__name__ if not isinstance(body, list) else []


def _timeless(lines: list[str]) -> dict[str, list[str]]:
    """Without durations, and what different sets of nodes do apart: they do it at once."""
    found: dict[str, list[str]] = {}
    for line in lines:
        found.setdefault(line.split("]")[0] if line.startswith("[") else "", []).append(re.sub(r"\d+s$", "", line))
    return found


def _durations(lines: list[str]) -> list[int]:
    return [int(match.group(1)) for line in lines if (match := re.search(r"after (\d+)s$", line))]


@pytest.fixture
def kadeploy(scenario: str, tmp_path: Path) -> t.Iterator[t.Any]:
    """A server, with the rights that the first scenarios gave for those after them."""
    rights = {"alice": ["sim-[1-8]"] if scenario == "rights" else ["sim-[1-8]", "node-[1-20]"]}
    server, core = start(tmp_path, 0, Options(pace=PACE, rights=rights))
    core.url = server.url
    yield core
    server.shutdown()
    server.server_close()
    core.stop()


@pytest.mark.parametrize("scenario", list(SCENARIOS))
def test_recorded_scenario(kadeploy: t.Any, scenario: str) -> None:
    off, faults = BROKEN.get(scenario, ([], []))
    for name in off:
        kadeploy.machines[name].halt()
    kadeploy.faults._write(faults)
    replay, began = Replay(kadeploy.url), time.monotonic()
    for exchange in SCENARIOS[scenario]:
        time.sleep(max(0.0, exchange["t"] * PACE - (time.monotonic() - began)))
        replay.compare(exchange)
    expected, found = replay.logs
    assert _timeless(found) == _timeless(expected)
    for recorded, here in zip(_durations(expected), _durations(found), strict=True):
        assert abs(recorded - here) <= 3
