# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A job of OAR, whoever tells about it. PRIVATE to the collection."""

from __future__ import annotations

import re
import time
import typing as t
from dataclasses import dataclass

from ..errors import ComposeError, InputError, shown
from .request import DISKS, Request, hms

#: A job with these holds nothing any more. ``Error`` is also how a job ends that was deleted, or whose time is over.
ENDED = ("Terminated", "Error")
#: A job with these is about to end.
_ENDING = ("Finishing", "toError")
#: All states, as OAR writes them; the Grid'5000 API has them in lower case.
STATES = (
    "Waiting",
    "Hold",
    "toLaunch",
    "toError",
    "toAckReservation",
    "Launching",
    "Running",
    "Suspended",
    "Resuming",
    "Finishing",
    *ENDED,
)
_STATES = {state.lower(): state for state in STATES}
#: Somebody asked for the end of the job.
_DELETED = "FRAG_JOB_REQUEST"
#: Without one of these, or with it, a job is another thing.
_KINDS = ("deploy", "cosystem", "besteffort", "container", "inner")

_ASKED_NODES = re.compile(r"(?:network_address|host|nodes)=(\d+)")
_ASKED_DISKS = re.compile(rf"{DISKS}\s*>=\s*(\d+)")
_GRANTED = re.compile(r"walltime changed: .*\(granted: ([+-]?)(\d+):(\d+):(\d+)")


class OarError(ComposeError):
    """OAR refused something, or a job did not do what it should."""


@dataclass(frozen=True)
class Event:
    """What happened to a job."""

    kind: str
    #: As OAR describes it.
    words: str


@dataclass(frozen=True)
class Job:
    """What OAR says of a job. ``None`` and empty: it does not say."""

    id: int
    name: str
    user: str
    state: str
    #: Seconds.
    walltime: int | None = None
    #: Nodes that the job has, or is going to have: they do not mean that it runs.
    nodes: tuple[str, ...] = ()
    queue: str = ""
    types: tuple[str, ...] = ()
    properties: str = ""
    project: str = ""
    #: Seconds since the epoch: since when it runs, or when OAR means to start it.
    start: int | None = None
    message: str = ""
    events: tuple[Event, ...] = ()
    #: The resources that were asked for.
    wanted: str = ""
    #: The command that asked for them.
    command_line: str = ""

    @property
    def ended(self) -> bool:
        """It holds nothing any more."""
        return self.state in ENDED

    @property
    def ending(self) -> bool:
        """It has ended, or is going to without anybody's doing."""
        return self.ended or self.state in _ENDING or any(event.kind == _DELETED for event in self.events)

    @property
    def end(self) -> int | None:
        """When its time is over, in seconds since the epoch."""
        return self.start + self.walltime if self.start and self.walltime else None

    @property
    def asked_nodes(self) -> int | None:
        """How many nodes were asked for."""
        match = _ASKED_NODES.search(self.wanted)
        if match:
            return int(match[1])
        return len(self.nodes) or None

    @property
    def asked_disks(self) -> int | None:
        """How many scratch disks each node was asked to have."""
        match = _ASKED_DISKS.search(self.wanted)
        if match:
            return int(match[1])
        return 0 if self.wanted else None

    @property
    def granted(self) -> int:
        """Seconds that were added to its walltime since it was submitted."""
        for event in reversed(self.events):
            match = _GRANTED.search(event.words)
            if match:
                total = 3600 * int(match[2]) + 60 * int(match[3]) + int(match[4])
                return -total if match[1] == "-" else total
        return 0

    def __str__(self) -> str:
        """For people."""
        return f"job {self.id} ({self.name})" if self.name else f"job {self.id}"


def state_of(text: str) -> str:
    """A state as OAR itself writes it."""
    return _STATES.get(text.lower(), text)


def sorted_nodes(names: t.Iterable[str]) -> tuple[str, ...]:
    """Each name once, ``node-2`` before ``node-10``: OAR has one for each core, in no order."""
    return tuple(
        sorted(
            set(names),
            key=lambda name: [
                (len(part), part) if at % 2 else part for at, part in enumerate(re.split("([0-9]+)", name))
            ],
        )
    )


def moment(seconds: int) -> str:
    """A time, for people."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
    except (OSError, OverflowError, ValueError):
        return f"second {shown(seconds)} since 1970"


def differences(request: Request, job: Job) -> dict[str, tuple[str, str]]:
    """What the job is that the request does not want: option → wanted and found. Nothing is said of what is unknown."""
    found: dict[str, tuple[str, str]] = {}

    def compare(key: str, wanted: str, has: str) -> None:
        if wanted != has:
            found[key] = (wanted, has)

    if job.asked_nodes is not None:
        compare("nodes", str(request.nodes), str(job.asked_nodes))
    if job.asked_disks is not None and request.disks > job.asked_disks:
        found["disks"] = (str(request.disks), str(job.asked_disks or "none"))
    if job.walltime is not None and request.walltime not in (job.walltime, job.walltime - job.granted):
        compare("walltime", hms(request.walltime), hms(job.walltime))
    if request.queue:
        compare("queue", request.queue, job.queue)
    if request.project and job.project:
        compare("project", request.project, job.project)
    kinds = {kind for kind in job.types if kind.partition("=")[0] in _KINDS}
    if not set(request.types) <= set(job.types) or kinds - set(request.types):
        compare("types", " ".join(request.types) or "none", " ".join(job.types) or "none")
    if request.properties and f"({request.properties})" not in job.properties:
        compare("properties", request.properties, job.properties)
    if request.start and job.command_line and request.start not in job.command_line:
        compare("start", request.start, moment(job.start) if job.start else "as soon as possible")
    return found


def require_same(request: Request, job: Job, *, but: str = "") -> None:
    """Refuse a job that is there already and is another.

    :param but: an option that may differ.
    :raises InputError: says what was asked for and what there is.
    """
    wrong = {key: pair for key, pair in differences(request, job).items() if key != but}
    if not wrong:
        return
    wanted, has = ("; ".join(f"{key} {pair[side]}" for key, pair in wrong.items()) for side in (0, 1))
    hint = ""
    if list(wrong) == ["walltime"] and request.walltime > (job.walltime or 0):
        hint = ". With extend: true it is given more time"
    raise InputError(
        f"{job} of {job.user} is {job.state.lower()} and is not what is asked for. Asked for: {wanted}. "
        f"It has: {has}{hint}. Release it first (state: absent), or give the other another name"
    )
