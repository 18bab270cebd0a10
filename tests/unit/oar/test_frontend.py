# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands on a frontend, by an ``ssh`` that runs them here or fails as the real one did."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.nodes.frontend import (
    Frontend,
    FrontendError,
    LoginRefused,
)
from ansible_collections.immutable.compose.plugins.module_utils.oar.base import NotAdmitted, Unanswered
from ansible_collections.immutable.compose.plugins.module_utils.oar.command import CommandLine
from ansible_collections.immutable.compose.plugins.module_utils.oar.job import Job, OarError

from .conftest import Programs

#: Runs what comes after the host, as a login shell there does.
SSH = """#!/bin/sh
case " $* " in *' -G '*) printf 'user alice\\nhostname fe.example.org\\nport 2222\\n'; exit ;; esac
FAIL
while [ "$1" != fe ]; do shift; done
shift
eval "$*"
"""


def ssh(programs: Programs, fail: str = "") -> None:
    path = programs.directory / "ssh"
    path.write_text(SSH.replace("FAIL", fail))
    path.chmod(0o755)


def test_exit_code_and_output_are_those_of_the_command(programs: Programs) -> None:
    ssh(programs)
    done = Frontend("fe").run(["sh", "-c", 'echo "it\'s $0"; echo no >&2; exit 255', "a b"], 10)
    assert (done.returncode, done.stdout, done.stderr) == (255, "it's a b\n", "no\n")


def test_a_command_without_a_line_end(programs: Programs) -> None:
    ssh(programs)
    done = Frontend("fe").run(["sh", "-c", "printf no >&2; exit 3"], 10)
    assert (done.returncode, done.stderr) == (3, "no")


def test_it_starts_at_home(programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    ssh(programs)
    assert Frontend("fe").run(["pwd"], 10).stdout.strip() == str(tmp_path)


def test_nobody_is_asked_and_nothing_unknown_is_trusted(programs: Programs) -> None:
    programs.add("ssh", stderr="compose exit 0\n")
    Frontend("ssh://alice@fe:2222").run(["id"], 10)
    (call,) = programs.calls("ssh")
    assert {"BatchMode=yes", "StrictHostKeyChecking=yes"} <= set(call)
    assert call[-4:-1] == ["ssh://alice@fe:2222", "sh", "-c"]


def test_the_configuration_may_be_another(programs: Programs, tmp_path: Path) -> None:
    config = tmp_path / "config"
    with pytest.raises(InputError, match=f"ssh_config: {config} does not exist"):
        Frontend("fe", str(config))
    config.touch()
    programs.add("ssh", stderr="compose exit 0\n")
    Frontend("fe", str(config)).run(["id"], 10)
    assert programs.calls("ssh")[0][:2] == ["-F", str(config)]


@pytest.mark.parametrize("target", ["", "-oProxyCommand=x", "a b", "ssh://-x", "fe;id"])
def test_targets_that_are_none(target: str) -> None:
    with pytest.raises(InputError, match="expected HOST, USER@HOST or ssh://USER@HOST:PORT"):
        Frontend(target)


@pytest.mark.parametrize(
    ("said", "error", "meaning"),
    [
        ("alice@fe: Permission denied (publickey).", LoginRefused, "does not accept the user's keys"),
        ("Received disconnect: Too many authentication failures", LoginRefused, "does not accept the user's keys"),
        ("Host key verification failed.", LoginRefused, "host key is not the one in known_hosts"),
        ("ssh: connect to host fe port 22: Connection refused", FrontendError, "cannot be reached"),
        ("ssh: Could not resolve hostname fe: Name or service not known", FrontendError, "cannot be reached"),
    ],
)
def test_no_connection(programs: Programs, said: str, error: type[Exception], meaning: str) -> None:
    ssh(programs, f'echo "{said}" >&2; exit 255')
    with pytest.raises(error) as told:
        Frontend("fe").run(["id"], 10)
    assert isinstance(told.value, LoginRefused) == (error is LoginRefused)
    assert "alice@fe.example.org:2222" in str(told.value) and meaning in str(told.value) and said in str(told.value)
    with pytest.raises(NotAdmitted if error is LoginRefused else Unanswered, match="alice@fe"):
        CommandLine(Frontend("fe"))


def test_a_connection_that_breaks(programs: Programs) -> None:
    ssh(programs, "echo OAR_JOB_ID=6; exit 255")
    with pytest.raises(FrontendError, match="the connection was closed"):
        Frontend("fe").run(["oarsub"], 10)


def test_a_command_that_does_not_end(programs: Programs) -> None:
    ssh(programs)
    with pytest.raises(FrontendError, match="sleep on alice@fe.example.org:2222 did not end within 0 s"):
        Frontend("fe").run(["sleep", "20"], 0.3)


def test_jobs_there(programs: Programs) -> None:
    ssh(programs)
    programs.add("oarsub", "OAR_JOB_ID=6\n")
    programs.add("oarstat")
    site = CommandLine(Frontend("fe"))
    assert (site.where, site.user) == ("alice@fe.example.org:2222", "alice")
    assert site.jobs() == [] and programs.calls("oarstat") == [["-f", "-J", "-u", "alice"]]


def test_a_host_that_is_no_frontend(programs: Programs) -> None:
    ssh(programs)
    programs.add("oarwalltime", stderr="sh: 1: oarwalltime: not found\n", code=127)
    with pytest.raises(OarError, match="its commands are not installed there: that is not a frontend"):
        CommandLine(Frontend("fe")).extend(Job(6, "web", "alice", "Running"), 60)
