# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks about the OAR that tests/tools/oar.sh has brought up: twelve nodes, and the users alice and bob."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import yaml
from lab import BIN, COLLECTIONS, descendants

REST = {
    "interface": "rest",
    "url": "http://127.0.0.1:6668/oarapi-priv",
    "username": "alice",
    "password": "secret",
}
#: Seconds until something hangs.
PATIENCE = 240


def oar(*command: str, user: str = "alice") -> str:
    """Output of one of OAR's commands."""
    return subprocess.run(
        ["runuser", "-u", user, "--", "env", f"PWD=/home/{user}", *command],  # where a job writes its output
        cwd=f"/home/{user}",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    ).stdout


def jobs(user: str = "alice") -> dict[int, dict[str, t.Any]]:
    """The jobs of a user that have not ended, and that nobody has deleted."""
    told = json.loads(oar("oarstat", "-f", "-J", "-u", user, user=user) or "{}")
    return {
        int(id_): job
        for id_, job in told.items()
        if job["state"] not in ("Error", "Terminated", "Finishing")
        and "FRAG_JOB_REQUEST" not in [event["type"] for event in job["events"]]
    }


def named(name: str) -> list[int]:
    return [id_ for id_, job in jobs().items() if job["name"] == name]


@dataclass
class Play:
    """What a playbook left behind."""

    returncode: int
    output: str
    #: What its tasks returned, by the name under which they were registered.
    results: dict[str, t.Any]


@dataclass
class Site:
    """The frontend, and a directory for playbooks."""

    directory: Path
    config: Path

    @property
    def command(self) -> dict[str, t.Any]:
        """Options for OAR's commands on the frontend."""
        return {"frontend": "frontend", "ssh_config": str(self.config)}

    def access(self, interface: str) -> dict[str, t.Any]:
        return REST if interface == "rest" else self.command

    def start(self, access: dict[str, t.Any], *tasks: dict[str, t.Any]) -> subprocess.Popen[str]:
        """Start a playbook of these tasks."""
        book = self.directory / f"play-{time.monotonic_ns()}.yml"
        names = [task["register"] for task in tasks if "register" in task]
        kept = ", ".join(f"{name!r}: {name}" for name in names)
        last = {
            "ansible.builtin.copy": {
                "dest": f"{book}.json",
                "content": "{{ {" + kept + "} | to_json }}",
                "mode": "0600",
            },
            "become": False,
        }
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "module_defaults": {"group/immutable.compose.compose": access},
            "tasks": [*tasks, last],
        }
        book.write_text(yaml.safe_dump([play]))
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "PYTEST_"))}
        self.book = book
        return subprocess.Popen(
            # Whoever starts this in the background has signals ignored.
            ["env", "--default-signal", str(BIN / "ansible-playbook"), str(book)],
            cwd=self.directory,
            env={
                **environment,
                "PATH": f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin",
                "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
                "ANSIBLE_LOCALHOST_WARNING": "false",
                "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
                "ANSIBLE_NOCOLOR": "1",
                "PYTHONUNBUFFERED": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def play(self, access: dict[str, t.Any], *tasks: dict[str, t.Any], expect: int = 0) -> Play:
        """Run a playbook of these tasks to its end."""
        process = self.start(access, *tasks)
        path = Path(f"{self.book}.json")
        output, _errors = process.communicate(timeout=PATIENCE)
        print(output)
        assert process.returncode == expect, output
        assert "[WARNING]" not in output.replace("[WARNING]: Module remote_tmp", "") and "[DEPRECATION" not in output, (
            output
        )
        return Play(process.returncode, output, json.loads(path.read_text()) if path.exists() else {})

    def end_when(self, says: str, number: signal.Signals, access: dict[str, t.Any], *tasks: dict[str, t.Any]) -> str:
        """Start a playbook and end it as soon as it says something: with SIGKILL all its processes at once."""
        process = self.start(access, *tasks)
        assert process.stdout is not None
        seen = ""
        for line in process.stdout:
            seen += line
            if says in line:
                break
        else:
            raise AssertionError(f"never said {says!r}:\n{seen}")
        for pid in [process.pid, *(descendants(process.pid) if number == signal.SIGKILL else ())]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        late = threading.Timer(PATIENCE, process.kill)
        late.start()
        seen += process.stdout.read()
        process.stdout.close()
        process.wait()
        hung = late.finished.is_set()
        late.cancel()
        assert not hung, f"the run did not end within {PATIENCE} s of signal {number}:\n{seen}"
        return seen


def job(register: str = "", **options: t.Any) -> dict[str, t.Any]:
    """A task with ``oar_job``; options that begin with ``task_`` are those of the task."""
    task = {key[5:]: options.pop(key) for key in list(options) if key.startswith("task_")}
    return {"immutable.compose.oar_job": options, **({"register": register} if register else {}), **task}
