"""The simulator answers recorded calls as the real Proxmox VE did."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import typing as t
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from .conftest import PATIENCE, eventually

PROXMOX = Path(__file__).resolve().parents[2] / "simulators" / "proxmox"
RECORDS = PROXMOX / "records"
#: As README.md lists them.
DIFFERENCES = ["STATUS 500 200 DELETE /access/users/dep@pve"]


@contextmanager
def serve(state: Path) -> t.Iterator[tuple[str, str]]:
    """Runs the program; its address and the token it prints."""
    command = [sys.executable, str(PROXMOX / "serve"), "--port", "0", "--state", str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready, url, token = process.stdout.readline().split()
            assert ready == "ready"
            yield url, token
        finally:
            process.terminate()
            assert process.wait() == 0


def _run(program: str) -> None:
    """Run one of the programs beside the records; under ansible-test, ``runpy`` would take the file for a package."""
    path = RECORDS / program
    exec(compile(path.read_text(), str(path), "exec"), {"__name__": "__main__", "__file__": str(path)})


def test_recorded_scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    state, images = tmp_path / "state", tmp_path / "images"
    state.mkdir()
    images.mkdir()
    for path in RECORDS.glob("*.gz"):
        (images / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    (state / "options.json").write_text(json.dumps({"pace": 0.005}))
    request = requests.Session.request
    monkeypatch.setattr(requests.Session, "request", lambda *given, **more: _settled(request, *given, **more))
    with serve(state) as (url, token):
        monkeypatch.setenv("IMGDIR", str(images))
        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
        monkeypatch.setattr(sys, "argv", ["record.py", url, token, str(tmp_path / "answers.jsonl")])
        _run("record.py")
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["compare.py", str(RECORDS / "golden-9.2.jsonl"), str(tmp_path / "answers.jsonl")])
    _run("compare.py")
    *differences, summary = capsys.readouterr().out.splitlines()
    assert [re.sub(" +", " ", line)[: len(known)] for line, known in zip(differences, DIFFERENCES, strict=True)] == (
        DIFFERENCES
    )
    assert summary == "same 290 status differs 1 message differs 0 missing 0 of 291"
    assert _states(tmp_path / "answers.jsonl") == _states(RECORDS / "golden-9.2.jsonl")


def _settled(
    request: t.Callable[..., requests.Response], session: requests.Session, verb: str, url: str, **more: t.Any
) -> requests.Response:
    """A call; the task that it starts has ended, so that the next call finds the same on a slow computer, too."""
    answer = request(session, verb, url, **more)
    upid = answer.json()["data"] if verb != "GET" and answer.status_code == 200 else None
    if str(upid).startswith("UPID:"):
        status = f"{url.partition('/api2/json')[0]}/api2/json/nodes/{upid.split(':')[1]}/tasks/{upid}/status"
        eventually(lambda: request(session, "GET", status).json()["data"]["status"] == "stopped")
    return answer


def _states(path: Path) -> list[t.Any]:
    """Every configuration that was read: drives, boot order and all else that does not differ by chance."""
    chance = {"digest", "meta", "smbios1", "vmgenid", "snaptime"}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    found = [row["body"]["data"] for row in rows if row["method"] == "GET" and row["path"].endswith("/config")]
    assert sum(bool(config) for config in found) > 30
    return [{key: value for key, value in (config or {}).items() if key not in chance} for config in found]


def call(url: str, token: str, verb: str, path: str, **parameters: object) -> t.Any:
    """The data of a call; the certificate is of no interest here."""
    session = requests.Session()
    session.trust_env = session.verify = False
    session.headers["Authorization"] = f"PVEAPIToken={token.removeprefix('token:')}"
    with warnings.catch_warnings(action="ignore"):
        answer = session.request(verb, f"{url}/api2/json{path}", data=parameters, timeout=PATIENCE)
    assert answer.status_code == 200, answer.reason
    return answer.json()["data"]


def test_the_state_survives_the_server(tmp_path: Path) -> None:
    node = "/nodes/pve1"
    with serve(tmp_path) as (url, token):
        upid = call(url, token, "POST", f"{node}/qemu", vmid=100, scsi0="local:1", start=1)
        eventually(lambda: call(url, token, "GET", f"{node}/qemu/100/status/current")["status"] == "running")
        (tmp_path / "faults.json").write_text('[{"kind": "task", "type": "qmstop", "hang": true}]')
        hanging = call(url, token, "POST", f"{node}/qemu/100/status/stop")
    (tmp_path / "faults.json").unlink()
    with serve(tmp_path) as (url, again):
        assert again == token
        assert call(url, token, "GET", f"{node}/qemu/100/status/current")["status"] == "running"
        assert call(url, token, "GET", f"{node}/tasks/{upid}/status")["exitstatus"] == "OK"
        assert call(url, token, "GET", f"{node}/tasks/{hanging}/status")["exitstatus"] == "unexpected status"
        assert call(url, token, "GET", f"{node}/qemu/100/config")["scsi0"] == "local:100/vm-100-disk-0.raw,size=1G"
