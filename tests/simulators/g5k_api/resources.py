"""Requests for resources as OAR reads them, and how it refuses them."""

from __future__ import annotations

import json
import random
import re
import sqlite3
import string
import time
import typing as t
from dataclasses import dataclass

from .errors import ApiError

Json = dict[str, t.Any]

_DEFAULT_WALLTIME = 7200
_TYPES = {"deploy", "besteffort", "cosystem", "noop", "container", "destructive", "exotic", "day", "night"}
_DEFAULT = "[ADMISSION RULE] Set default walltime to 7200.\n"
_MODIFIED = "[ADMISSION RULE] Modify resource description with type constraints\n"


@dataclass
class Wanted:
    """What a job asks for.

    :param groups: number of nodes (0: all that there are) and their properties
    :param walltime: seconds
    :param start: when it is reserved for, if so
    """

    groups: list[tuple[int, str]]
    walltime: int
    start: int = 0


class Refused(Exception):
    """What ``oarsub`` says, and its exit code."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code = code
        self.said = said


def subscript() -> str:
    """The file that the API makes of a command."""
    return "./oarapi.subscript." + "".join(random.choices(string.ascii_letters + string.digits, k=5))


def refusal(refused: Refused, body: Json, where: str) -> ApiError:
    """What the API makes of it."""
    words = [f'--type=\\"{kind}\\"' for kind in body.get("types") or []]
    words += [f'--property=\\"{body["properties"]}\\"'] if body.get("properties") else []
    words += [f'--resource=\\"{body["resources"]}\\"'] if body.get("resources") else []
    command = f"Cmd:\noarsub  {' '.join(words)} {subscript()}"
    message = f"Oarsub command exited with status {refused.code}: {refused.said}\n{command}"
    status, title = (400, "Bad query") if refused.code < 250 else (500, "Oar server error")
    fields = {"code": status, "title": title, "message": message}
    lines = ",\n".join(f'   "{key}" : {json.dumps(value)}' for key, value in fields.items())
    return ApiError(status, f"Request to {where} failed with status {status}: {{\n{lines}\n}}\n\n")


def read(body: Json, now: float) -> Wanted:
    """The resources that a job asks for.

    :raises Refused: as the admission rules do
    """
    text = str(body.get("resources") or "nodes=1")
    types = [str(kind).split("=", maxsplit=1)[0] for kind in body.get("types") or []]
    walltime = re.search(r",?\s*walltime=([\d:]+)\s*$", text)
    said = "" if walltime else _DEFAULT
    for kind in types:
        if kind not in _TYPES and kind not in ("allowed", "origin", "monitor", "inner", "timesharing"):
            raise Refused(254, f"{said}[ADMISSION RULE] Error: unknown job type: {kind}\n\n")
    if body.get("queue") == "admin":
        raise Refused(
            254, f"{said}[ADMISSION RULE] Only member of the group admin can submit jobs in the admin queue\n\n"
        )
    resources = text[: walltime.start()] if walltime else text
    groups = []
    for group in resources.split("+"):
        match = re.match(r"^\s*(?:\{(?P<where>.*)\})?\s*/?(?P<levels>[\w=/]+)\s*$", group)
        levels = dict(level.split("=", 1) for level in match["levels"].split("/") if "=" in level) if match else {}
        if (
            match is None
            or not levels
            or not set(levels) <= {"nodes", "host", "network_address", "cluster", "core", "cpu"}
        ):
            raise Refused(255, f"/!\\ Cannot recognize the resource description : {text}\n")
        fine = {"core", "cpu"} & set(levels)
        if "deploy" in types and fine:
            raise Refused(254, f"[ADMISSION RULE] '{min(fine)}' resource is not allowed with a deploy job\n\n")
        number = next((levels[key] for key in ("nodes", "host", "network_address") if key in levels), "1")
        if number not in ("BEST", "ALL") and not number.isdigit():
            raise Refused(255, f"/!\\ Cannot recognize the resource description : {text}\n")
        groups.append((int(number) if number.isdigit() else 0, match["where"] or ""))
    seconds = _seconds(walltime[1]) if walltime else _DEFAULT_WALLTIME
    start = _start(str(body["reservation"]), now) if body.get("reservation") else 0
    if start and start < now - 5:
        said += f"{_MODIFIED}OAR_JOB_ID=-5\nReservation mode: waiting validation...\n"
        raise Refused(10, f"{said}Reservation not valid --> KO (Reservation too old)\n")
    return Wanted(groups, seconds, start)


def not_enough(body: Json) -> Refused:
    """More than there is."""
    said = "" if "walltime=" in str(body.get("resources")) else _DEFAULT
    said += f"{_MODIFIED}There are not enough resources for your request\nOAR_JOB_ID=-5\n"
    return Refused(8, f"{said}[ERROR] Oarsub failed, please verify your request syntax.\n")


def fitting(resources: list[Json], conditions: t.Sequence[str]) -> list[str]:
    """Nodes that have properties, in SQL; in the order of their names.

    :raises Refused: that is no SQL
    """
    with sqlite3.connect(":memory:") as tables:
        columns = list(resources[0])
        tables.execute(f"CREATE TABLE resources ({', '.join(columns)})")
        marks = ", ".join("?" * len(columns))
        tables.executemany(f"INSERT INTO resources VALUES ({marks})", [tuple(row.values()) for row in resources])
        where = " AND ".join(f"({condition})" for condition in conditions if condition) or "1"
        try:
            found = tables.execute(f"SELECT DISTINCT network_address FROM resources WHERE {where}").fetchall()
        except sqlite3.Error as error:
            said = f"Bad resource request\n[ERROR] SQL: {error}\n"
            said += "[ERROR] Oarsub failed, please verify your request syntax.\n"
            raise Refused(5, said) from error
    tables.close()
    return sorted(name for (name,) in found)


def _seconds(text: str) -> int:
    """hours[:minutes[:seconds]]."""
    hours, minutes, seconds = (*(int(part or 0) for part in text.split(":")), 0, 0)[:3]
    return hours * 3600 + minutes * 60 + seconds


def _start(text: str, now: float) -> int:
    """The begin of a reservation."""
    first = text.split(",")[0].strip()
    if first == "now":
        return int(now)
    if not re.match(r"^\d{4}-", first):
        first = time.strftime("%Y-%m-%d ", time.localtime(now)) + first
    date, _space, clock = first.partition(" ")
    parts = (clock.split(":") + ["0", "0"])[:3]
    return int(time.mktime(time.strptime(f"{date} {':'.join(parts)}", "%Y-%m-%d %H:%M:%S")))


_TIME = r"(0?[0-9]|1[0-9]|2[0-3])(?::(0?[0-9]|[1-5][0-9])(?::(0?[0-9]|[1-5][0-9]))?)?"
_DATE = rf"(\d{{4}}-(?:0?[0-9]|1[0-2])-(?:0?[1-9]|[1-2][0-9]|3[0-1]))\s+{_TIME}"


def problems(body: Json) -> list[str]:
    """What the API itself says of a job."""
    found = []
    reservation = body.get("reservation")
    if reservation is None and not str(body.get("command") or "").strip():
        found.append("you must give a :command to execute on launch")
    if reservation is not None and not isinstance(reservation, str):
        found.append("`reservation` should be a String.")
    elif reservation is not None:
        start, comma, end = reservation.partition(",")
        syntax = [re.compile(rf"^\s*{_DATE}\s*$"), re.compile(rf"^\s*{_TIME}\s*$")]
        if start != "now" and not any(pattern.match(start) for pattern in syntax):
            found.append(
                "Syntax error in reservation start date, should at least match the format: "
                "'YYYY-MM-DD hh:mm:ss'. Please see documentation for available date syntaxes."
            )
        if comma and not any(pattern.match(end) for pattern in syntax):
            found.append(
                "Syntax error in reservation end date, should at least match the format: "
                "'YYYY-MM-DD hh:mm:ss'. Please see documentation for available date syntaxes."
            )
    return found
