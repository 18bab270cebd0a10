# SPDX-License-Identifier: GPL-3.0-or-later
"""OAR's commands: how they are called, and what their answers mean. The answers are those of OAR 2.5.9."""

from __future__ import annotations

import os
import pwd
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.oar.base import Unanswered
from ansible_collections.immutable.compose.plugins.module_utils.oar.command import CommandLine
from ansible_collections.immutable.compose.plugins.module_utils.oar.job import Event, Job, OarError
from ansible_collections.immutable.compose.plugins.module_utils.oar.request import Request

from .conftest import Programs

#: ``oarstat -f -J -j 6`` of a running job, shortened.
RUNNING: dict[str, t.Any] = {
    "Job_Id": 6,
    "name": "web",
    "owner": "alice",
    "state": "Running",
    "walltime": 12600,
    "startTime": 1795344806,
    "scheduledStart": 1795344806,
    "assigned_network_address": ["node-10", "node-2", "node-2", "node-10", "node-1"],
    "queue": "default",
    "types": ["deploy"],
    "properties": "(((cluster='fake') AND deploy = 'YES') AND desktop_computing = 'NO') AND drain='NO'",
    "project": "default",
    "message": "R=6,W=3:20:0,J=B,T=deploy (Karma=0.000,quota_ok)",
    "wanted_resources": "-l \"{type = 'default'}/network_address=3,walltime=3:30:0\" ",
    "initial_request": "oarsub -n web -l nodes=3,walltime=3:20:0 -t deploy sleep 30",
    "events": [
        {"type": "WALLTIME", "description": " walltime changed: 3:30:0 (granted: +0:10:0/pending: 0:0:0)"},
    ],
}
#: One that waits, and one in advance.
WAITING = {**RUNNING, "state": "Waiting", "startTime": 0, "scheduledStart": None, "assigned_network_address": []}
RESERVED = {
    **WAITING,
    "startTime": 1795847337,
    "reserved_resources": {"22": {"network_address": "node-11"}, "21": {"network_address": "node-11"}},
}
WEB = Request("web", 3, 12000, "cluster='fake'", "default", ("deploy", "destructive"), "2027-01-01 10:00:00", "lab")


@pytest.fixture
def oar(programs: Programs) -> CommandLine:
    return CommandLine()


def test_a_job_is_submitted(oar: CommandLine, programs: Programs) -> None:
    programs.add("oarsub", "[ADMISSION RULE] Set default walltime to 7200.\nOAR_JOB_ID=6\n")
    assert oar.submit(WEB) == 6
    asked = ["-J", "-n", "web", "-l", "/nodes=3,walltime=3:20:0", "-p", "cluster='fake'", "-q", "default", "-r"]
    more = ["2027-01-01 10:00:00", "--project", "lab", "-t", "deploy", "-t", "destructive", "sleep infinity"]
    assert programs.calls("oarsub") == [[*asked, *more]]


def test_a_job_runs_at_home(oar: CommandLine, programs: Programs) -> None:
    path = programs.directory / "oarsub"
    path.write_text(f'#!/bin/sh\nprintf "%s %s" "$PWD" "$(pwd -P)" >{programs.directory}/where\necho OAR_JOB_ID=6\n')
    path.chmod(0o755)
    oar.submit(WEB)
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    assert (programs.directory / "where").read_text() == f"{home} {home.resolve()}"


def test_what_is_not_asked_for_is_not_said(oar: CommandLine, programs: Programs) -> None:
    programs.add("oarsub", '{"job_id": "7"}')
    assert oar.submit(Request("one", 1, 60, command="sleep 5")) == 7
    assert programs.calls("oarsub") == [["-J", "-n", "one", "-l", "/nodes=1,walltime=0:1:0", "sleep 5"]]


@pytest.mark.parametrize(
    ("listed", "there"),
    [
        ('{"1": {"network_address": "node-1"}, "2": {"network_address": "node-1"}}', "; it has 1 of these properties"),
        ("{}", "; it has none of these properties"),
        ("no JSON", "deploy destructive, start 2027-01-01 10:00:00, project lab (oarsub"),
    ],
)
def test_more_than_there_is(oar: CommandLine, programs: Programs, listed: str, there: str) -> None:
    said = (
        "There are not enough resources for your request\n[ERROR] Oarsub failed, please verify your request syntax.\n"
    )
    programs.add("oarsub", "OAR_JOB_ID=-5\n", said, 8)
    programs.add("oarnodes", listed)
    with pytest.raises(OarError) as error:
        oar.submit(WEB)
    assert "'web' was refused by OAR at this host (alice): there are no such nodes, or too few" in str(error.value)
    assert "asked for 3 nodes, for 3:20:0, properties cluster='fake'" in str(error.value) and there in str(error.value)
    assert programs.calls("oarnodes") == [["-J", "--sql", "cluster='fake'"]]


def test_a_reservation_that_is_refused_has_an_id_all_the_same(oar: CommandLine, programs: Programs) -> None:
    said = "OAR_JOB_ID=9\nReservation mode: waiting validation...\nReservation not valid --> KO (Reservation too old)\n"
    programs.add("oarsub", said, code=10)
    with pytest.raises(OarError, match="start is in the past by the site's clock"):
        oar.submit(WEB)


def test_success_without_an_id_is_none(oar: CommandLine, programs: Programs) -> None:
    programs.add("oarsub", "what?")
    with pytest.raises(OarError, match="exit code 0.*\nwhat\\?"):
        oar.submit(WEB)


def test_a_job_is_read(oar: CommandLine, programs: Programs) -> None:
    programs.jobs(RUNNING)
    job = oar.job(6)
    assert programs.calls("oarstat") == [["-f", "-J", "-j", "6"]]
    assert job == Job(
        id=6,
        name="web",
        user="alice",
        state="Running",
        walltime=12600,
        nodes=("node-1", "node-2", "node-10"),
        queue="default",
        types=("deploy",),
        properties=RUNNING["properties"],
        project="default",
        start=1795344806,
        message=RUNNING["message"],
        events=(Event("WALLTIME", RUNNING["events"][0]["description"]),),
        wanted=RUNNING["wanted_resources"],
        command_line=RUNNING["initial_request"],
    )
    assert (job.asked_nodes, job.granted, job.end) == (3, 600, 1795344806 + 12600)


def test_one_that_waits_and_one_in_advance(oar: CommandLine, programs: Programs) -> None:
    programs.jobs({**WAITING, "Job_Id": 12}, {**RESERVED, "Job_Id": 7})
    reserved, waiting = oar.jobs("bob")
    assert programs.calls("oarstat") == [["-f", "-J", "-u", "bob"]]
    assert (waiting.id, waiting.start, waiting.nodes, waiting.asked_nodes) == (12, None, (), 3)
    assert (reserved.id, reserved.start, reserved.nodes) == (7, 1795847337, ("node-11",))


def test_an_unknown_job_is_an_empty_answer(oar: CommandLine, programs: Programs) -> None:
    programs.add("oarstat")
    assert oar.job(9999) is None and oar.jobs() == []
    assert programs.calls("oarstat")[1] == ["-f", "-J", "-u", "alice"]


@pytest.mark.parametrize("answer", ["no JSON", "[1]", '{"6": {"state": "Running"}}'])
def test_a_list_that_is_none(oar: CommandLine, programs: Programs, answer: str) -> None:
    programs.add("oarstat", answer)
    with pytest.raises(Unanswered, match="wrong answer: oarstat at this host"):
        oar.jobs()


def test_a_server_that_ails_may_be_asked_again(oar: CommandLine, programs: Programs) -> None:
    programs.add("oarstat", stderr="DBI connect failed: could not connect to server: Connection refused\n", code=2)
    with pytest.raises(Unanswered, match="exit code 2"):
        oar.jobs()
    programs.add("oarstat", stderr="Bad job id\n", code=1)
    with pytest.raises(OarError) as error:
        oar.jobs()
    assert not isinstance(error.value, Unanswered)


def test_a_job_is_extended(oar: CommandLine, programs: Programs) -> None:
    programs.add("oarwalltime", "Accepted: walltime change request accepted for job 6, it will be handled shortly.\n")
    oar.extend(Job(6, "web", "alice", "Running"), 660)
    assert programs.calls("oarwalltime") == [["6", "+0:11:0"]]
    programs.add("oarwalltime", "Forbidden: job 6 is not running.\n", code=3)
    with pytest.raises(OarError, match=r"giving job 6 \(web\) 0:11:0 more was refused .*only a running job"):
        oar.extend(Job(6, "web", "alice", "Running"), 660)


def test_a_job_is_released(oar: CommandLine, programs: Programs) -> None:
    job = Job(6, "web", "alice", "Running")
    programs.add("oardel", "Deleting the job = 6 ...REGISTERED.\n")
    oar.release(job)
    assert programs.calls("oardel") == [["6"]]
    programs.add("oardel", "Deleting the job = 6 ...ERROR.\n", "Cannot frag 6 ; This job was already killed.\n", 6)
    oar.release(job)
    programs.add("oardel", "Deleting the job = 6 ...ERROR.\n", "Cannot frag 6 ; You are not the right user.\n", 1)
    with pytest.raises(OarError, match=r"releasing job 6 \(web\) was refused .*another user's \(oardel, exit code 1\)"):
        oar.release(job)


def test_a_host_without_oar(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(programs.directory))
    with pytest.raises(ComposeError, match="'oarstat' is not installed on this host, so it is not a frontend of OAR"):
        CommandLine().jobs()
