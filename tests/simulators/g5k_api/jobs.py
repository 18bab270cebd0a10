"""Jobs, as OAR would run them on nodes of its own."""

from __future__ import annotations

import re
import threading
import time
import typing as t
from dataclasses import dataclass, field

from kadeploy.faults import Faults

from .errors import ApiError, forbidden
from .options import Options
from .resources import Refused, Wanted, fitting, not_enough, problems, read, refusal, subscript

Json = dict[str, t.Any]

#: States in which a job has its nodes.
_HOLDING = ("toLaunch", "Launching", "Running", "Finishing")
_OVER = ("Terminated", "Error")


@dataclass
class Job:
    """A job; times are simulated seconds since the epoch, 0 for never."""

    uid: int
    user: str
    body: Json
    wanted: Wanted
    submitted: int
    directory: str
    command: str = field(default_factory=subscript)
    state: str = "Waiting"
    nodes: list[str] = field(default_factory=list)
    predicted: int = 0
    started: int = 0
    stopped: int = 0
    killed: float = 0
    planned: bool = False
    events: list[Json] = field(default_factory=list)

    @property
    def types(self) -> list[str]:
        return list(self.body.get("types") or [])

    @property
    def end(self) -> float:
        """When its time is over."""
        return (self.started or self.predicted) + self.wanted.walltime

    @property
    def command_ends(self) -> float:
        """When its command has ended: of programs, only ``sleep`` is known."""
        match = re.search(r"sleep\s+(\S+)", str(self.body.get("command") or "sleep infinity"))
        if match is None:
            return self.started + 1
        return self.started + (int(match[1]) if match[1].isdigit() else float("inf"))


class Jobs:
    """:param grant: gives a user Kadeploy's rights on nodes; :param withdraw: takes them away"""

    def __init__(
        self,
        options: Options,
        nodes: list[str],
        faults: Faults,
        grant: t.Callable[[str, list[str]], None],
        withdraw: t.Callable[[str, list[str]], None],
    ) -> None:
        self._options = options
        self._faults = faults
        self._grant = grant
        self._withdraw = withdraw
        self._lock = threading.RLock()
        self._jobs: dict[int, Job] = {}
        self._events = 0
        self._origin = time.time()
        self._stopped = threading.Event()
        self.resources = [
            {
                "host": node,
                "network_address": node,
                "cluster": re.sub(r"-\d+.*$", "", node),
                "cpuset": core,
                "deploy": "YES",
                "besteffort": "YES",
                "desktop_computing": "NO",
                "drain": "NO",
                "exotic": "NO",
                "type": "default",
                "disk_reservation_count": options.disks,
            }
            for node in nodes
            for core in range(options.cores)
        ]

    def now(self) -> float:
        """Simulated seconds since the epoch."""
        return self._origin + (time.time() - self._origin) / (self._options.pace or 1)

    def begin(self) -> None:
        """Look at the jobs from now on."""
        threading.Thread(target=self._rounds, daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _rounds(self) -> None:
        while not self._stopped.wait(self._options.round_seconds * self._options.pace):
            self._round()

    # What users ask for

    def submit(self, user: str, body: Json, where: str) -> Job:
        """A new job."""
        wrong = problems(body)
        if wrong:
            raise ApiError(400, f"The job you are trying to submit is not valid: {'; '.join(wrong)}")
        with self._lock:
            now = self.now()
            try:
                wanted = read(body, now)
                for number, where_group in wanted.groups:
                    if len(self._fitting(body, where_group)) < max(number, 1):
                        raise not_enough(body)
                uid = self._options.first_job + len(self._jobs)
                directory = str(body.get("directory") or f"/home/{user}")
                job = Job(uid, user, body, wanted, int(now), directory)
                if wanted.start:
                    self._reserve(job)
            except Refused as refused:
                raise refusal(refused, body, where) from refused
            self._jobs[uid] = job
            return job

    def _reserve(self, job: Job) -> None:
        """Nodes for a fixed time."""
        job.predicted = job.started = job.wanted.start
        found = self._free(job, job.wanted.start)
        if found is None:
            said = "OAR_JOB_ID=-5\nReservation mode: waiting validation...\n"
            raise Refused(10, f"{said}Reservation not valid --> KO (This reservation could not be scheduled)\n")
        job.nodes, job.planned = found, True

    def find(self, number: str) -> Job:
        """By its number."""
        with self._lock:
            job = self._jobs.get(int(number)) if number.isdigit() else None
        if job is None:
            raise ApiError(404, f"Couldn't find OAR::Job with 'job_id'=\"{number}\"")
        return job

    def list(self, **wanted: str) -> list[Job]:
        """The newest first; of a user, a name, states, a queue, a project."""
        states = [state.strip().capitalize() for state in wanted.get("state", "").split(",") if state.strip()]
        with self._lock:
            found = sorted(self._jobs.values(), key=lambda job: -job.uid)
        return [
            job
            for job in found
            if (not states or job.state.capitalize() in states)
            and wanted.get("user", job.user) == job.user
            and all(wanted.get(key, job.body.get(key)) == job.body.get(key) for key in ("name",))
            and wanted.get("queue", "") in ("", job.body.get("queue") or "default")
            and wanted.get("project", "") in ("", job.body.get("project") or "default")
        ]

    def delete(self, user: str, number: str) -> str:
        """Ask for its end; what ``oardel`` says."""
        job = self.find(number)
        if job.user != user:
            raise forbidden()
        with self._lock:
            if job.killed or job.state in _OVER:
                return f"Deleting the job = {job.uid} ...ERROR."
            job.killed = self.now()
            self._event(job, "FRAG_JOB_REQUEST", f"User {user} requested to frag the job {job.uid}")
            if job.state != "Waiting":
                said = f"[Leon] Send the kill signal to oarexec on 127.0.0.1 for job {job.uid}"
                self._event(job, "SEND_KILL_JOB", said)
        end = f"The job(s) [ {job.uid} ] will be deleted in the near future."
        return f"Deleting the job = {job.uid} ...REGISTERED. {end}"

    def extend(self, user: str, number: str, change: str) -> str:
        """Another walltime: ``+h:m:s``, ``-h:m:s``, or a whole one."""
        job = self.find(number)
        if job.user != user:
            raise forbidden()
        match = re.fullmatch(r"([+-]?)(\d+)(?::(\d+))?(?::(\d+))?", change)
        if match is None:
            raise ApiError(
                400, "The job walltime change you are trying to submit is not valid: new walltime must be a String"
            )
        if job.state != "Running":
            raise ApiError(403, "walltime change for a job which is not running is not allowed")
        seconds = int(match[2]) * 3600 + int(match[3] or 0) * 60 + int(match[4] or 0)
        signs = {"+": job.wanted.walltime + seconds, "-": job.wanted.walltime - seconds, "": seconds}
        with self._lock:
            job.wanted.walltime = max(0, signs[match[1]])
        return f"Accepted: walltime change request accepted for job {job.uid}, it will be handled shortly."

    # What OAR does

    def _fitting(self, body: Json, group: str) -> list[str]:
        conditions = [group, str(body.get("properties") or "")]
        conditions += ["deploy = 'YES'"] if "deploy" in (body.get("types") or []) else []
        found = fitting(self.resources, conditions)
        return [node for node in found if not self._faults.meet(node, "absent")]

    def _free(self, job: Job, start: float) -> list[str] | None:
        """Nodes for a job at a time, if there are enough."""
        end = start + job.wanted.walltime
        taken: set[str] = set()
        for other in self._jobs.values():
            if other is job or other.state in _OVER or not other.nodes:
                continue
            begins = other.started or other.predicted
            if begins < end and start < max(other.end, begins + 1):
                taken |= set(other.nodes)
        found: list[str] = []
        for number, group in job.wanted.groups:
            free = [node for node in self._fitting(job.body, group) if node not in taken and node not in found]
            if len(free) < max(number, 1):
                return None
            found += free[: number or len(free)]
        return found

    def _event(self, job: Job, kind: str, said: str) -> None:
        self._events += 1
        about = {"uid": self._events, "created_at": int(self.now()), "type": kind, "description": said}
        job.events.append(about)

    def _round(self) -> None:
        """Every job goes on by at most one state."""
        with self._lock:
            now = self.now()
            changed = []
            for job in self._jobs.values():
                before = job.state
                self._step(job, now)
                if job.state != before:
                    changed.append(job)
            self._plan(now)
        for job in changed:
            # As OAR's prologue does: who sees the job run may deploy.
            if "deploy" in job.types and job.state == "Launching":
                self._grant(job.user, job.nodes)
            elif "deploy" in job.types and job.state == "Finishing":
                self._withdraw(job.user, job.nodes)

    def _step(self, job: Job, now: float) -> None:
        if job.state == "Waiting":
            if job.killed:
                job.state, job.stopped, job.nodes = "Error", int(now), []
            elif job.planned and now >= job.predicted:
                job.state, job.started = "Launching", int(now)
        elif job.state == "Launching":
            job.state = "Running"
        elif job.state == "Running":
            self._run(job, now)
        elif job.state == "Finishing":
            job.state = "Error" if job.killed else "Terminated"

    def _run(self, job: Job, now: float) -> None:
        """It may have ended."""
        if not job.killed and now >= job.end:
            job.killed = now - self._options.round_seconds
            self._event(
                job, "WALLTIME", f"[sarko] Job [{job.uid}] from {job.started} with {job.wanted.walltime}; overtime"
            )
            self._event(job, "SEND_KILL_JOB", f"[Leon] Send the kill signal to oarexec on 127.0.0.1 for job {job.uid}")
        if job.killed and now - job.killed >= self._options.round_seconds:
            self._event(job, "SWITCH_INTO_ERROR_STATE", f"[bipbip {job.uid}] Ask to change the job state")
            job.state, job.stopped = "Finishing", int(now)
        elif not job.killed and now >= job.command_ends:
            job.state, job.stopped = "Finishing", int(now)

    def _plan(self, now: float) -> None:
        """When waiting jobs may start."""
        waiting = [job for job in self._jobs.values() if job.state == "Waiting" and not job.wanted.start]
        for job in waiting:
            job.nodes, job.planned, job.predicted = [], False, 0
        for job in waiting:
            ends = [other.end for other in self._jobs.values() if other.nodes and other.state not in _OVER]
            for start in sorted({now, *(end for end in ends if end > now)}):
                found = self._free(job, start)
                if found is not None:
                    job.nodes, job.planned, job.predicted = found, True, int(start)
                    break

    # What is told

    def about(self, job: Job) -> Json:
        """A job, without its resources."""
        body, wanted = job.body, job.wanted
        told: Json = {"uid": job.uid, "user_uid": job.user, "user": job.user, "walltime": wanted.walltime}
        told |= {"queue": body.get("queue") or "default", "state": job.state.lower()}
        told |= {"project": body.get("project") or "default"}
        if body.get("name"):
            told["name"] = body["name"]
        told |= {"types": job.types, "mode": "PASSIVE", "command": job.command, "submitted_at": job.submitted}
        if job.predicted and job.state not in _OVER:
            told["scheduled_at"] = job.predicted
        told["started_at"] = job.started
        if job.stopped:
            told["stopped_at"] = job.stopped
        told |= {"message": self._message(job), "properties": self._properties(job), "directory": job.directory}
        return {**told, "events": list(job.events)}

    def _message(self, job: Job) -> str:
        hours, rest = divmod(job.wanted.walltime, 3600)
        number = sum(number or 1 for number, _where in job.wanted.groups) * self._options.cores
        words = [f"R={number}", f"W={hours}:{rest // 60}:{rest % 60}", f"J={'R' if job.wanted.start else 'B'}"]
        words += [f"N={job.body['name']}"] if job.body.get("name") else []
        words += [f"T={'|'.join(job.types)}"] if job.types else []
        return ",".join(words) + (" (Karma=0.000,quota_ok)" if job.planned else "")

    @staticmethod
    def _properties(job: Job) -> str:
        own = job.body.get("properties")
        words = ["deploy = 'YES'"] if "deploy" in job.types else []
        inner = " AND ".join(f"({word})" for word in [*([own] if own else []), *words])
        return (
            f"({inner} AND desktop_computing = 'NO') AND drain='NO'"
            if inner
            else "desktop_computing = 'NO' AND drain='NO'"
        )

    def resources_of(self, job: Job) -> Json:
        """Cores and nodes as the API lists them: with a node come those whose names begin with its own, once more."""
        if not job.nodes or (job.state == "Waiting" and not job.wanted.start):
            return {"resources_by_type": {}, "assigned_nodes": []}
        cores: list[str] = []
        for node in job.nodes:
            names = [name for name in job.nodes if name.startswith(node) and name != node]
            for core in range(self._options.cores):
                order = names[::-1] if core % 2 == 0 else names
                cores += [f"{name}/{core}" for name in (node, *order)]
        nodes = list(dict.fromkeys(core.rpartition("/")[0] for core in cores))
        return {"resources_by_type": {"cores": cores}, "assigned_nodes": nodes}
