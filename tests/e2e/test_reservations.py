# SPDX-License-Identifier: GPL-3.0-or-later
"""oar_job and oar_job_info in a playbook, on commands that answer like those of OAR; tests/oar has the real ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest
import yaml
from lab import BIN, COLLECTIONS, descendants
from schemas import check_told

#: One job, in a file: it waits for the first two looks at it, and ends at the second after it was deleted.
OAR = r"""
import json, os, pwd, sys
path, name, args = os.path.join(os.path.dirname(__file__), "job"), os.path.basename(sys.argv[0]), sys.argv[1:]
job = json.load(open(path)) if os.path.exists(path) else None
if name == "oarsub":
    command = " ".join(["oarsub", *args])
    job = {"Job_Id": 7, "name": args[args.index("-n") + 1], "owner": pwd.getpwuid(os.getuid()).pw_name}
    job.update(state="Waiting", startTime=0, scheduledStart=1900000000, walltime=600, types=["deploy"], looks=0)
    job.update(wanted_resources="-l /network_address=2", initial_request=command, events=[], queue="default")
    job.update(message="R=4,W=0:10:0,J=B,N=web,T=deploy", assigned_network_address=[])
    print("[ADMISSION RULE] Modify resource description with type constraints\nOAR_JOB_ID=7")
elif name == "oardel":
    job["events"] = [{"type": "FRAG_JOB_REQUEST", "description": "x"}]
    job["looks"] = 0
    print("Deleting the job = 7 ...REGISTERED.")
elif job and (job["state"] != "Error" or "-j" in args):
    job["looks"] += 1
    if job["looks"] > 2 and not job["events"]:
        job.update(state="Running", startTime=1800000000, assigned_network_address=["node-10", "node-2", "node-2"])
    if job["looks"] > 1 and job["events"]:
        job["state"] = "Error"
    print(json.dumps({"7": job}))
if job:
    json.dump(job, open(path, "w"))
"""
WEB: dict[str, t.Any] = {"name": "web", "nodes": 2, "walltime": "0:10:0", "types": ["deploy"], "timeout": 60}


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """Directory of the commands."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("oarsub", "oarstat", "oardel"):
        (directory / name).write_text(f"#!{sys.executable}{OAR}")
        (directory / name).chmod(0o755)
    return directory


def started(directory: Path, commands: Path, tasks: list[dict[str, t.Any]]) -> subprocess.Popen[str]:
    """A playbook that runs."""
    environment = {"PATH": f"{commands}:/usr/bin:/bin"}
    play = {"hosts": "localhost", "gather_facts": False, "environment": environment, "tasks": tasks}
    (directory / "play.yml").write_text(yaml.safe_dump([play]))
    return subprocess.Popen(
        [str(BIN / "ansible-playbook"), "-i", "localhost,", "-c", "local", "play.yml"],
        cwd=directory,
        env={
            **{key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "PYTEST_"))},
            "PATH": f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin",
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_what_a_killed_run_leaves_at_work_releases_nothing(tmp_path: Path, commands: Path) -> None:
    """Its job is the next run's by then."""
    for program in commands.iterdir():
        program.write_text(program.read_text().replace('job["looks"] > 2', "False"))
    process = started(tmp_path, commands, [{"immutable.compose.oar_job": {**WEB, "timeout": 10}}])
    assert process.stdout is not None
    assert any("is submitted" in line for line in process.stdout)
    left = [f"/proc/{pid}" for pid in descendants(process.pid)]
    process.kill()
    process.communicate(timeout=60)
    begin = time.monotonic()
    while any(map(os.path.exists, left)):
        assert time.monotonic() - begin < 60
        time.sleep(0.1)
    job = json.loads((commands / "job").read_text())
    assert (job["state"], job["events"]) == ("Waiting", [])


def test_a_reservation_in_a_playbook(tmp_path: Path, commands: Path) -> None:
    def job(register: str, task: dict[str, t.Any] | None = None, **options: t.Any) -> dict[str, t.Any]:
        return {"immutable.compose.oar_job": options, "register": register, **(task or {})}

    names = ("checked", "wrong", "first", "again", "other", "listed", "end", "ended")
    kept = ", ".join(f"{name!r}: {name}" for name in names)
    process = started(
        tmp_path,
        commands,
        [
            job("checked", {"check_mode": True}, **WEB),
            job("wrong", {"ignore_errors": True}, **{**WEB, "walltime": "soon"}),
            job("first", {"diff": True}, **WEB),
            job("again", **WEB),
            job("other", {"ignore_errors": True}, **{**WEB, "nodes": 3}),
            {"immutable.compose.oar_job_info": {}, "register": "listed"},
            job("end", name="web", state="absent"),
            job("ended", name="web", state="absent"),
            {"ansible.builtin.copy": {"dest": f"{tmp_path}/results", "content": "{{ {" + kept + "} | to_json }}"}},
        ],
    )
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stdout + stderr
    assert "[WARNING]" not in stderr and "[DEPRECATION" not in stderr, stderr
    results = json.loads((tmp_path / "results").read_text())
    for name in ("checked", "first", "again", "end", "ended"):
        check_told("oar_job", results[name])
    check_told("oar_job_info", results["listed"])
    assert results["checked"]["changed"] and results["checked"]["job"] is None
    assert "walltime is 'soon', expected H:M:S" in results["wrong"]["msg"]
    first = results["first"]
    assert first["changed"] and (first["job"]["id"], first["job"]["state"]) == (7, "Running")
    assert first["job"]["nodes"] == ["node-2", "node-10"]
    assert first["diff"][0]["after"] == "web: 2 nodes, for 0:10:0, types deploy\n"
    assert "  compose | reserving web at this host" in stdout
    assert "  compose | job 7 (web) is submitted" in stdout
    assert not results["again"]["changed"] and "invocation" not in results["again"]
    assert "Asked for: nodes 3. It has: nodes 2" in results["other"]["msg"]
    assert [one["name"] for one in results["listed"]["jobs"]] == ["web"]
    assert results["end"]["changed"] and results["end"]["job"]["state"] == "Error"
    assert not results["ended"]["changed"] and results["ended"]["job"] is None
