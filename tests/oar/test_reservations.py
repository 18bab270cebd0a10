# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules oar_job and oar_job_info on a real OAR, by its commands on a frontend and by its REST API."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import typing as t
from pathlib import Path

import pytest

from .play import REST, Play, Site, job, jobs, named, oar

WEB: dict[str, t.Any] = {"name": "web", "nodes": 2, "walltime": "0:10:0", "types": ["deploy"], "timeout": 60}
INTERFACES = pytest.mark.parametrize("interface", ["command", "rest"])


@INTERFACES
def test_a_life(site: Site, interface: str) -> None:
    longer = {**WEB, "walltime": "0:15:0"}
    done = site.play(
        site.access(interface),
        job("checked", **WEB, task_check_mode=True),
        {"immutable.compose.oar_job_info": {}, "register": "nothing"},
        job("first", **WEB, properties="cluster='fake' and deploy='YES'"),
        job("again", **WEB),
        job("other", **{**WEB, "nodes": 3}, task_ignore_errors=True),
        job("short", **longer, task_ignore_errors=True),
        job("would", **longer, extend=True, task_check_mode=True),
        job("longer", **longer, extend=True, task_diff=True),
        job("still", **WEB),
        {"immutable.compose.oar_job_info": {"name": "web"}, "register": "listed"},
        job("end", name="web", state="absent"),
        job("ended", name="web", state="absent"),
        {"immutable.compose.oar_job_info": {"job_id": "{{ first.job.id }}"}, "register": "past"},
        {"immutable.compose.oar_job_info": {"job_id": 999999}, "register": "unknown"},
    ).results
    assert done["checked"]["changed"] and done["checked"]["job"] is None
    assert done["nothing"]["jobs"] == [], "check mode has reserved something"
    first = done["first"]["job"]
    assert done["first"]["changed"] and (first["state"], first["walltime"], first["user"]) == ("Running", 600, "alice")
    assert len(first["nodes"]) == 2 and first["types"] == ["deploy"] and first["end"] > first["start"]
    assert not done["again"]["changed"] and done["again"]["job"]["id"] == first["id"]
    assert done["other"]["failed"] and "Asked for: nodes 3. It has: nodes 2" in done["other"]["msg"]
    assert "Asked for: walltime 0:15:0. It has: walltime 0:10:0. With extend: true" in done["short"]["msg"]
    assert done["would"]["changed"] and done["would"]["job"]["walltime"] == 900
    assert done["longer"]["changed"] and done["longer"]["job"]["walltime"] == 900
    (diff,) = done["longer"]["diff"]
    assert "0:10:0" in diff["before"] and "0:15:0" in diff["after"]
    assert not done["still"]["changed"]
    assert [one["id"] for one in done["listed"]["jobs"]] == [first["id"]]
    assert done["end"]["changed"] and done["end"]["job"]["state"] == "Error" and done["end"]["job"]["ended"]
    assert not done["ended"]["changed"] and done["ended"]["job"] is None
    assert done["past"]["jobs"][0]["state"] == "Error" and done["unknown"]["jobs"] == []
    assert jobs() == {}


def take_all() -> None:
    """Give all nodes to bob, for an hour."""
    oar("oarsub", "-t", "deploy", "-l", "nodes=12,walltime=1:0:0", "sleep infinity", user="bob")
    end = time.monotonic() + 60
    while [one["state"] for one in jobs("bob").values()] != ["Running"]:
        assert time.monotonic() < end
        time.sleep(0.5)


#: What is asked for, what is said, and OAR's exit code; none where OAR is not asked.
REFUSED: tuple[tuple[dict[str, t.Any], str, int | None], ...] = (
    ({"nodes": 420}, "no such nodes, or too few: asked for 420 nodes", 8),
    ({"properties": "cluster='nosuch'"}, "no such nodes, or too few: asked for 2 nodes", 8),
    ({"properties": "rack='7'"}, "no property 'rack'", 8),
    ({"properties": "cluster="}, "not SQL", 8),
    ({"queue": "nosuch"}, "it has no queue 'nosuch'", 248),
    ({"queue": "admin"}, "members of the group 'admin'", 254),
    ({"types": ["weird"]}, "no type of job 'weird'", 254),
    ({"types": ["inner=4711"]}, "no container job", 254),
    (
        {"start": "{{ '%Y-%m-%d %H:%M:%S' | strftime(now().timestamp() - 3600) }}"},
        "start is in the past by the site's clock",
        10,
    ),
    ({"start": "2020-01-01 10:00:00"}, "start is '2020-01-01 10:00:00', which is in the past", None),
    ({"walltime": "3 hours"}, "walltime is '3 hours', expected H:M:S", None),
    ({"walltime": "-1:0:0"}, "ends before it begins", None),
    ({"name": "a b"}, "name is 'a b'", None),
)


@INTERFACES
def test_refusals(site: Site, interface: str) -> None:
    names = [f"refused{number}" for number in range(len(REFUSED))]
    tasks = [
        job(name, **{**WEB, "name": "refused", **wish}, task_ignore_errors=True)
        for name, (wish, _words, _code) in zip(names, REFUSED, strict=True)
    ]
    results = site.play(site.access(interface), *tasks).results
    for name, (_wish, words, code) in zip(names, REFUSED, strict=True):
        said = results[name]["msg"]
        assert results[name]["failed"] and words in said, said
        assert ("(oarsub, exit code" in said) == (code is not None) and (
            not code or f"(oarsub, exit code {code})" in said
        ), said
    assert jobs() == {}


def test_what_there_is_of_a_kind(site: Site) -> None:
    done = site.play(
        site.command,
        job("many", **{**WEB, "nodes": 13}, task_ignore_errors=True),
        job("nothing", **WEB, properties="cluster='nosuch'", task_ignore_errors=True),
    ).results
    assert "; it has 12 in all (oarsub, exit code 8)" in done["many"]["msg"]
    assert "; it has none of these properties (oarsub, exit code 8)" in done["nothing"]["msg"]


def test_whoever_does_not_get_in(site: Site) -> None:
    config = {"ssh_config": str(site.config)}
    done = site.play(
        {},
        job("stranger", **WEB, frontend="stranger", **config, task_ignore_errors=True),
        job("unknown", **WEB, frontend="unknown", **config, task_ignore_errors=True),
        job("off", **WEB, frontend="off", **config, task_ignore_errors=True),
        job("password", **WEB, **{**REST, "password": "wrong"}, task_ignore_errors=True),
        job("address", **WEB, **{**REST, "url": "http://127.0.0.1:6668/nowhere"}, task_ignore_errors=True),
        job("root", **WEB, task_ignore_errors=True),
        job("mixed", **WEB, **{**REST, "frontend": "x"}, task_ignore_errors=True),
    ).results
    assert "no login as bob@127.0.0.1:" in done["stranger"]["msg"] and "user's keys" in done["stranger"]["msg"]
    assert "no login as alice@127.0.0.1:" in done["unknown"]["msg"] and "known_hosts" in done["unknown"]["msg"]
    assert "alice@127.0.0.1:" in done["off"]["msg"] and "Connection refused" in done["off"]["msg"]
    assert "oarapi-priv (alice) does not accept the user or the password" in done["password"]["msg"]
    assert "is url the address of OAR's API" in done["address"]["msg"]
    assert "this host (root): root and oar may not submit jobs" in done["root"]["msg"]
    assert "frontend is given, which interface: rest does not use" in done["mixed"]["msg"]
    assert jobs() == {}


@pytest.fixture
def libraries() -> t.Iterator[Path]:
    """What the module needs, for Debian's own Python: the environment of the tests may be out of the users' reach."""
    version = subprocess.run(
        ["/usr/bin/python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    (directory / "none").mkdir()
    (directory / "none" / "msgspec.py").write_text("raise ImportError\n")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(directory)]
    subprocess.run([*pip, "--python-version", version, "--only-binary", ":all:", "msgspec"], check=True, timeout=300)
    yield directory
    shutil.rmtree(directory)


def test_on_the_frontend_itself(site: Site, libraries: Path) -> None:
    """The task runs there, as a user of OAR; and nobody releases what belongs to another."""
    su = {
        "task_become": True,
        "task_become_method": "su",
        "task_vars": {"ansible_python_interpreter": "/usr/bin/python3"},
    }
    without = {**su, "task_become_user": "alice", "task_environment": {"PYTHONPATH": str(libraries / "none")}}
    lacking = site.play({}, job("made", **WEB, **without), expect=2)
    assert "the Python library 'msgspec' is missing from /usr/bin/python3" in lacking.output
    assert "reserving" not in lacking.output and jobs() == {}
    su["task_environment"] = {"PYTHONPATH": str(libraries)}
    alice, bob = ({**su, "task_become_user": user} for user in ("alice", "bob"))
    done = site.play(
        {},
        job("made", **WEB, **alice),
        job("foreign", job_id="{{ made.job.id }}", state="absent", **bob, task_ignore_errors=True),
        job("gone", job_id="{{ made.job.id }}", state="absent", **alice),
    )
    assert done.results["made"]["job"]["user"] == "alice"
    assert "another user's (oardel, exit code 1)" in done.results["foreign"]["msg"]
    assert "is still running at this host (bob) with node-" in done.results["foreign"]["msg"]
    assert "compose | job" in done.output
    assert done.results["gone"]["changed"] and jobs() == {}


@INTERFACES
def test_a_queue_that_is_too_long(site: Site, interface: str) -> None:
    take_all()
    full = {**WEB, "nodes": 12, "timeout": 10}
    done = site.play(
        site.access(interface),
        job("waited", **full, task_ignore_errors=True),
        job("queued", **full, wait=False),
        job("found", **full, task_ignore_errors=True),
    )
    assert "(web) is waiting, predicted start 20" in done.output
    words = done.results["waited"]["msg"]
    assert "is not running after 10 s (timeout): it is waiting, predicted start 20" in words
    assert words.endswith("(web) is released")
    # What was there before stays.
    queued = done.results["queued"]["job"]
    assert queued["state"] == "Waiting" and "is released" not in done.results["found"]["msg"]
    assert named("web") == [queued["id"]]


def test_in_advance(site: Site) -> None:
    start = "{{ '%Y-%m-%d %H:%M:00' | strftime(now().timestamp() + 3600) }}"
    tonight = {**WEB, "start": start, "wait": False}
    done = site.play(
        site.command,
        job("made", **tonight),
        job("again", **tonight),
        job("other", **{**tonight, "start": start.replace("3600", "7200")}, task_ignore_errors=True),
        job("end", name="web", state="absent"),
    ).results
    made = done["made"]["job"]
    assert made["state"] == "Waiting" and len(made["nodes"]) == 2 and made["start"]
    assert not done["again"]["changed"]
    assert "Asked for: start 20" in done["other"]["msg"]
    assert done["end"]["changed"] and done["end"]["job"]["ended"]


def test_a_job_inside_of_another(site: Site) -> None:
    done = site.play(
        site.command,
        job("box", name="box", nodes=3, walltime="0:20:0", types=["container"], timeout=60),
        job("inside", **{**WEB, "types": ["inner={{ box.job.id }}"], "walltime": "0:5:0"}),
        job("again", **{**WEB, "types": ["inner={{ box.job.id }}"], "walltime": "0:5:0"}),
        job("outside", **{**WEB, "types": [], "walltime": "0:5:0"}, task_ignore_errors=True),
    ).results
    assert set(done["inside"]["job"]["nodes"]) < set(done["box"]["job"]["nodes"])
    assert not done["again"]["changed"]
    assert "Asked for: types none. It has: types inner=" in done["outside"]["msg"]


@INTERFACES
@pytest.mark.parametrize("says", ["reserving web at", "is submitted"])
def test_a_run_that_was_killed_is_gone_on_with(site: Site, interface: str, says: str) -> None:
    site.end_when(says, signal.SIGKILL, site.access(interface), job(**WEB))
    done = site.play(site.access(interface), job("made", **WEB)).results["made"]
    time.sleep(2)  # what was under way when it was killed has arrived
    assert named("web") == [done["job"]["id"]] and done["job"]["state"] == "Running"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_gives_back(site: Site, number: signal.Signals) -> None:
    take_all()
    site.end_when("is submitted", number, site.command, job(**{**WEB, "timeout": 600}))
    end = time.monotonic() + 30
    while named("web") and time.monotonic() < end:
        time.sleep(0.5)
    assert named("web") == []


def test_two_who_ask_at_once_have_one_job(site: Site) -> None:
    plays: list[Play] = []
    threads = [
        threading.Thread(target=lambda access=access: plays.append(site.play(access, job("made", **WEB))))  # type: ignore[misc]
        for access in (REST, site.command)
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.01)  # each has a playbook of its own
    for thread in threads:
        thread.join()
    first, second = (play.results["made"] for play in plays)
    assert first["job"]["id"] == second["job"]["id"]
    assert sorted([first["changed"], second["changed"]]) == [False, True]
    assert named("web") == [first["job"]["id"]]
