# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OAR by its commands, on this host or on a frontend. PRIVATE to the collection."""

from __future__ import annotations

import os
import pwd
import typing as t

from ..errors import CommandError, ComposeError, MissingProgramError
from ..model.answer import WrongAnswer, answer, json_answer
from ..model.free import Json
from ..nodes import frontend as ssh
from ..process import Completed, run
from .answers import CommandJob, Resource, ToldJob
from .base import NotAdmitted, Reservations, Unanswered
from .job import Job
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
            told = json_answer(dict[str, Resource], done.stdout, "oarnodes")
            count = len({resource.network_address for resource in told.values()})
        except WrongAnswer:  # what is not known is not said
            return ""
        return f"; it has {count or 'none'} {'of these properties' if request.properties else 'in all'}"

    def _stat(self, option: str, value: str) -> list[Job]:
        done = self._require("ask", ["oarstat", "-f", "-J", option, value], "asking for jobs")
        if not done.stdout.strip():  # no such job
            return []
        where = f"oarstat at {self.where}"
        try:
            told = json_answer(dict[str, Json], done.stdout, where)
            return sorted((_job(data, f"{where}: job") for data in told.values()), key=lambda job: job.id)
        except WrongAnswer as error:
            raise Unanswered(error.message, step="ask") from None

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
                f"the program {error.program!r} is not installed on this host, so it is not a frontend of OAR; "
                "set frontend, or run the task on one (delegate_to)"
            ) from None
        except CommandError as error:
            raise Unanswered(error.message) from None


def _job(data: Json, where: str) -> Job:
    """A job as ``oarstat -f -J`` shows it."""
    own = answer(CommandJob, data, where)
    return answer(ToldJob, data, where).job(own.Job_Id, own.owner, own.nodes, own.startTime, own.scheduledStart)
