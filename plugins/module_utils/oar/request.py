# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of OAR: refused here, before anything is asked, where it cannot be. PRIVATE to the collection."""

from __future__ import annotations

import datetime
import re
import typing as t
from dataclasses import dataclass

from ..errors import InputError, shown

#: What a job runs that only holds its nodes.
COMMAND = "sleep infinity"
#: Property of a node: how many disks of it can be reserved.
DISKS = "disk_reservation_count"

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}")
_WORD = re.compile(r"[\w.@:/=,+-]+")
_WALLTIME = re.compile("([0-9]{1,6}):([0-5]?[0-9])(?::([0-5]?[0-9]))?")
_START_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M")
#: Hours that the earliest clock of the world is behind UTC: what is past there, is past at every site.
_EARLIEST = 12


@dataclass(frozen=True)
class Request:
    """A reservation as somebody wants it. Whatever is empty is left to the site."""

    #: By which the job is found again.
    name: str
    nodes: int
    #: Seconds.
    walltime: int
    #: SQL about the nodes, as OAR takes it.
    properties: str = ""
    queue: str = ""
    types: tuple[str, ...] = ()
    #: ``YYYY-MM-DD HH:MM:SS`` by the clock of the site, for a reservation in advance.
    start: str = ""
    project: str = ""
    command: str = COMMAND
    #: Scratch disks that each node has at least, all of which are reserved with it; 0: none is.
    disks: int = 0

    def __post_init__(self) -> None:
        """:raises InputError: names the value and what was expected."""
        _demand(_NAME, "name", self.name, "a letter or digit, then letters, digits, '.', '_' and '-', 100 at most")
        if self.nodes < 1:
            raise InputError(f"nodes is {self.nodes}, expected 1 or more")
        for kind in self.types:
            _demand(_WORD, "types", kind, "a type of job, such as deploy or inner=12")
        for key, value in (("queue", self.queue), ("project", self.project)):
            if value:
                _demand(_WORD, key, value, "one word")
        for key, value in (("properties", self.properties), ("command", self.command)):
            if any(ord(character) < 32 for character in value):
                raise InputError(f"{key} is {shown(value)}, expected one line")
        if self.properties.count("'") % 2:
            raise InputError(f"properties is {self.properties!r}, which has a quote that is not closed")
        if not self.command.strip():
            raise InputError("command is empty")

    @property
    def resources(self) -> str:
        """The nodes and the time, as ``oarsub -l`` takes them."""
        which = f"{{(type='default' or type='disk') and {DISKS} >= {self.disks}}}/host" if self.disks else "/nodes"
        return f"{which}={self.nodes},walltime={hms(self.walltime)}"

    def __str__(self) -> str:
        """For people."""
        parts = [f"{self.nodes} node{'s' if self.nodes > 1 else ''}", f"for {hms(self.walltime)}"]
        parts += [f"{key} {value}" for key, value in self.attributes().items()]
        return ", ".join(parts)

    def attributes(self) -> dict[str, str]:
        """What else is asked for, by the name of its option."""
        found = {
            "properties": self.properties,
            "queue": self.queue,
            "types": " ".join(self.types),
            "start": self.start,
            "project": self.project,
            "disks": f"{self.disks} or more" if self.disks else "",
        }
        return {key: value for key, value in found.items() if value}


def _demand(pattern: re.Pattern[str], key: str, value: str, expected: str) -> None:
    if not pattern.fullmatch(value):
        raise InputError(f"{key} is {shown(value)}, expected {expected}")


def seconds(walltime: str) -> int:
    """A walltime in seconds.

    :param walltime: ``H:M:S``, ``H:M``, or a number of seconds.
    :raises InputError: it is none of these, or no time at all.
    """
    text = walltime.strip()
    match = _WALLTIME.fullmatch(text)
    if match:
        hours, minutes, rest = (int(part or 0) for part in match.groups())
        total = 3600 * hours + 60 * minutes + rest
    elif re.fullmatch("[0-9]{1,9}", text):
        total = int(text)
    elif text.startswith("-"):
        raise InputError(f"walltime is {shown(walltime)}, which ends before it begins; expected H:M:S or seconds")
    else:
        raise InputError(f"walltime is {shown(walltime)}, expected H:M:S, for example 3:20:0, or a number of seconds")
    if total == 0:
        raise InputError(f"walltime is {shown(walltime)}, expected some time, for example 3:20:0")
    return total


def hms(total: int) -> str:
    """Seconds as OAR writes them, ``H:M:S``."""
    return f"{total // 3600}:{total % 3600 // 60}:{total % 60}"


def start_time(start: str, now: datetime.datetime | None = None) -> str:
    """A start as OAR takes it, ``YYYY-MM-DD HH:MM:SS``.

    :param now: with its time zone.
    :raises InputError: it is no time, or past wherever the site is.
    """
    for form in _START_FORMATS:
        try:
            when = datetime.datetime.strptime(start.strip(), form)
        except ValueError:
            continue
        break
    else:
        raise InputError(f"start is {shown(start)}, expected YYYY-MM-DD HH:MM:SS by the clock of the site")
    current = (now or datetime.datetime.now(datetime.timezone.utc)).astimezone(datetime.timezone.utc)
    if when < current.replace(tzinfo=None) - datetime.timedelta(hours=_EARLIEST):
        raise InputError(f"start is {shown(start)}, which is in the past; expected a time in the future")
    return when.strftime(_START_FORMATS[0])


def request(
    *,
    name: str,
    nodes: int,
    walltime: str,
    start: str | None = None,
    types: t.Sequence[str] = (),
    disks: int = 0,
    **others: str | None,
) -> Request:
    """The request that somebody wrote down, with ``walltime`` and ``start`` as people give them."""
    given = {key: value for key, value in others.items() if value}
    return Request(
        name,
        nodes,
        seconds(walltime),
        start=start_time(start) if start else "",
        types=tuple(types),
        disks=disks,
        **given,
    )
