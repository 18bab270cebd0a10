# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OAR by its commands, on this host or on a frontend. PRIVATE to the collection."""

from __future__ import annotations

import json
import os
import pwd
import typing as t

from ..errors import CommandError, ComposeError, MissingProgramError
from ..nodes import frontend as ssh
from ..process import Completed, run
from .base import NotAdmitted, Reservations, Unanswered, as_text
from .job import Event, Job, sorted_nodes, state_of
from .request import Request, hms
from .words import job_id, refused

#: Seconds for one command: a busy server takes some.
_TIMEOUT = 120.0
#: Exit code of ``oardel`` for a job that is about to end already.
_ALREADY = 6
#: Messages of commands that their database or server does not answer.
_AILING = ("cannot connect to the database", "could not connect", "connection refused", "timed out")


class CommandLine(Reservations):
    """``oarsub``, ``oarstat``, ``oardel`` and ``oarwalltime``.

    :param frontend: where these are, as ``ssh`` knows it; ``None``: on this host.
    """

    def __init__(self, frontend: ssh.Frontend | None = None) -> None:
        self._frontend = frontend
        self.where = frontend.where if frontend else "this host"
        self.user = self._require("connect", ["id", "-un"], "asking who I am").stdout.strip()
        self.where = frontend.where if frontend else f"this host ({self.user})"

    def jobs(self, user: str | None = None) -> list[Job]:
        return self._stat("-u", user or self.user)

    def job(self, id_: int) -> Job | None:
        found = self._stat("-j", str(id_))
        return found[0] if found else None

    def submit(self, request: Request) -> int:
        command = ["oarsub", "-J", "-n", request.name, "-l", request.resources]
        for option, value in (
            ("-p", request.properties),
            ("-q", request.queue),
            ("-r", request.start),
            ("--project", request.project),
            *(("-t", kind) for kind in request.types),
        ):
            if value:
                command += [option, value]
        done = self._command([*command, request.command])
        submitted = job_id(done.stdout)
        if done.returncode != 0 or submitted is None or submitted < 0:
            raise refused(
                "reserve",
                f"reserving {request.name!r}",
                self.where,
                "oarsub",
                done.returncode,
                f"{done.stdout}\n{done.stderr}",
                asked=request,
                there=self._there(request) if submitted is not None and submitted < 0 else "",
            )
        return submitted

    def extend(self, job: Job, more: int) -> None:
        self._require("extend", ["oarwalltime", str(job.id), f"+{hms(more)}"], f"giving {job} {hms(more)} more")

    def release(self, job: Job) -> None:
        done = self._command(["oardel", str(job.id)])
        if done.returncode not in (0, _ALREADY):
            raise refused(
                "release", f"releasing {job}", self.where, "oardel", done.returncode, f"{done.stdout}\n{done.stderr}"
            )

    def _there(self, request: Request) -> str:
        """How many nodes there are of the kind that was asked for."""
        done = self._command(["oarnodes", "-J", *(["--sql", request.properties] if request.properties else [])])
        try:
            count = len({resource["network_address"] for resource in json.loads(done.stdout).values()})
        except (ValueError, KeyError, AttributeError, TypeError):  # what is not known is not said
            return ""
        return f"; it has {count or 'none'} {'of these properties' if request.properties else 'in all'}"

    def _stat(self, option: str, value: str) -> list[Job]:
        done = self._require("ask", ["oarstat", "-f", "-J", option, value], "asking for jobs")
        if not done.stdout.strip():  # no such job
            return []
        try:
            return sorted((_job(data) for data in json.loads(done.stdout).values()), key=lambda job: job.id)
        except (ValueError, KeyError, AttributeError) as error:
            raise Unanswered(f"oarstat at {self.where} wrote no list of jobs: {error}", step="ask") from None

    def _require(self, step: str, command: t.Sequence[str], what: str) -> Completed:
        done = self._command(command)
        if done.returncode != 0:
            error = refused(step, what, self.where, command[0], done.returncode, f"{done.stdout}\n{done.stderr}")
            if any(word in done.stderr.lower() for word in _AILING):
                raise Unanswered(error.message, step=step)
            raise error
        return done

    def _command(self, command: t.Sequence[str]) -> Completed:
        try:
            if self._frontend:
                return self._frontend.run(command, _TIMEOUT)
            # A job runs, and writes its files, where it was submitted: oarsub believes the variable.
            home = pwd.getpwuid(os.getuid()).pw_dir
            return run(command, timeout=_TIMEOUT, check=False, env={"LC_ALL": "C", "PWD": home}, cwd=home)
        except ssh.LoginRefused as error:
            raise NotAdmitted(error.message) from None
        except ssh.FrontendError as error:
            raise Unanswered(error.message) from None
        except MissingProgramError as error:
            raise ComposeError(
                f"the program {error.program!r} is not installed on this host, which is no frontend of OAR, then; "
                "say frontend, or run the task on one (delegate_to)"
            ) from None
        except CommandError as error:
            raise Unanswered(error.message) from None


def _job(data: t.Mapping[str, t.Any]) -> Job:
    """A job as ``oarstat -f -J`` shows it."""
    started = data.get("startTime") or data.get("scheduledStart")
    reserved = data.get("reserved_resources") or {}
    return Job(
        id=int(data["Job_Id"]),
        name=as_text(data.get("name")),
        user=as_text(data.get("owner")),
        state=state_of(data["state"]),
        walltime=int(data["walltime"]) if data.get("walltime") else None,
        nodes=sorted_nodes(
            data.get("assigned_network_address") or [one["network_address"] for one in reserved.values()]
        ),
        queue=as_text(data.get("queue")),
        types=tuple(data.get("types") or ()),
        properties=as_text(data.get("properties")),
        project=as_text(data.get("project")),
        start=int(started) if started else None,
        message=as_text(data.get("message")),
        events=tuple(
            Event(as_text(event.get("type")), as_text(event.get("description"))) for event in data.get("events") or ()
        ),
        wanted=as_text(data.get("wanted_resources")),
        command_line=as_text(data.get("initial_request")),
    )
