# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of OAR's commands, which its APIs pass on: job ids, and refusals made plain. PRIVATE to the collection."""

from __future__ import annotations

import json
import re
import typing as t

from ..nodes.words import last_lines
from .job import OarError

#: Lines of a refusal that are shown.
_LINES = 8

_ID = re.compile(r"^OAR_JOB_ID=(-?\d+)\s*$", re.MULTILINE)
_FENCE = re.compile(r"^#{10}$", re.MULTILINE)
#: Of an API: which command, its exit code as the shell or the system has it, and its words.
_PASSED_ON = re.compile(
    r"(Oar\w+) command exited with status (\d+): (.*?)(?:\s*Cmd:\n.*|\. \(Command was: .*)?\Z", re.DOTALL
)
#: What says nothing about a refusal.
_NOISE = re.compile(
    r"OAR_JOB_ID=|#{10}|[{}]$|\"job_id\"|\[ADMISSION RULE\] (?:Modify|Set default)|\[ERROR\] Oarsub failed|LINE \d|\)$"
    r"|Deleting the job"
)

#: OAR's words → what they mean. ``{asked}`` is the request, groups of the pattern are numbered.
_PLAIN: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), plain)
    for pattern, plain in (
        (r"oar\w+: (?:command )?not found", "its commands are not installed there: that is not a frontend"),
        (r"There are not enough resources", "there are no such nodes, or too few: asked for {asked}{there}"),
        (r'column "(.*?)" does not exist', "its nodes have no property {1!r} (properties)"),
        (r"Bad resource request", "properties is not SQL that it understands"),
        (r"The queue (.*?) does not exist", "it has no queue {1!r}"),
        (r"Only member of the group (\S+)", "the queue is for members of the group {1!r} only"),
        (r"unknown job type: (.*)", "it has no type of job {1!r}"),
        (r"invalid container id", "no container job with the id of inner=… runs or waits"),
        (r"Reservation too old", "start is in the past by the site's clock"),
        (r"reservation date s", "start is not a time as it expects one"),
        (r"'(\w+)' resource is not allowed with a (\w+) job", "jobs of type {2!r} have whole nodes, not {1!r}"),
        (r"root and oar users are not allowed", "root and oar may not submit jobs: log in as another user"),
        (r"Cannot recognize", "it does not understand the resources that were asked for"),
        (r"You are not the right user", "the job does not exist, or is another user's"),
        (r"does not belong to you|not authorized to access", "the job is another user's"),
        (r"job \d+ is not running", "only a running job can be given more time"),
        (r"cannot increase by more than ([\d:]+\d)", "no job may be given more than {1} in addition"),
        (r"functionality is disabled", "changing walltimes is switched off there (WALLTIME_CHANGE_ENABLED)"),
        (r"Cannot find resource /sites/(\S+)", "there is no site {1!r}"),
        (r"Couldn't find OAR::Job|Job not found|could not find job", "there is no such job"),
    )
)


def job_id(output: str) -> int | None:
    """The id of a job that ``oarsub -J`` has submitted; ``None`` if it says none. It is negative for some refusals.

    OAR 2.5.9 writes the JSON between lines of ``#``, after what it always writes; newer ones write nothing else.
    """
    parts = _FENCE.split(output)
    for part in parts[1:2] or [output]:
        try:
            told = json.loads(part)
        except ValueError:
            continue
        if isinstance(told, list):
            told = told[0] if told else {}
        if isinstance(told, dict) and re.fullmatch(r"-?\d+", str(told.get("job_id"))):
            return int(told["job_id"])
    match = _ID.search(output)
    return int(match[1]) if match else None


def passed_on(text: str) -> tuple[str, int | None, str]:
    """What an API says of a command that failed: the command, its exit code, its words.

    The Grid'5000 API wraps what OAR's API answered, which wraps what the command said.
    """
    inner = text[text.find("{") :]
    try:
        told = json.loads(inner)
        text = str(told.get("message", text))
    except (ValueError, AttributeError):
        pass
    match = _PASSED_ON.search(text)
    if not match:
        return "", None, text
    status = int(match[2])
    return match[1].lower(), status >> 8 if status > 255 else status, match[3]


def refused(
    step: str, what: str, where: str, command: str, code: int | None, output: str, *, asked: t.Any = "", there: str = ""
) -> OarError:
    """The error for what OAR does not do.

    :param what: was to be done, for people, such as ``reserving web``.
    :param where: that was, with the user.
    :param code: exit code of the command, or HTTP status.
    :param asked: the request, for refusals that are about it.
    :param there: what is known of the nodes that there are, if anything.
    """
    said = "\n".join(line for line in output.splitlines() if not _NOISE.match(line.strip()))
    plain = ""
    for pattern, meaning in _PLAIN:
        match = pattern.search(output)
        if match:
            plain = f": {meaning.format(match[0], *match.groups(), asked=asked, there=there)}"
            break
    words = last_lines(said, _LINES)
    how = f"{command}, exit code {code}" if code is not None else command
    return OarError(f"{what} was refused by OAR at {where}{plain} ({how})" + (f"\n{words}" if words else ""), step=step)
