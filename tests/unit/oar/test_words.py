# SPDX-License-Identifier: GPL-3.0-or-later
"""What OAR's commands say, as they said it, and what people are told."""

from __future__ import annotations

import json

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.oar.request import Request
from ansible_collections.immutable.compose.plugins.module_utils.oar.words import job_id, passed_on, refused

ADMITTED = "[ADMISSION RULE] Modify resource description with type constraints\n"
FENCE = "##########"
ENOUGH = "There are not enough resources for your request\n[ERROR] Oarsub failed, please verify your request syntax.\n"


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (f"{ADMITTED}OAR_JOB_ID=6\n", 6),
        (f'{ADMITTED}OAR_JOB_ID=3\n\n{FENCE}\n{{\n   "job_id" : "3"\n}}\n\n{FENCE}\n\n', 3),
        (f'{ADMITTED}OAR_JOB_ID=3\n\n{FENCE}\n{{\n   "job_id" : 3\n}}\n\n{FENCE}\n\n', 3),
        ('{\n   "job_id" : "2153572"\n}\n', 2153572),
        ('[{"job_id": "7"}, {"job_id": "8"}]', 7),
        (f'OAR_JOB_ID=-5\n\n{FENCE}\n{{\n   "job_id" : -5\n}}\n{FENCE}\n', -5),
        (f'OAR_JOB_ID=5\n{FENCE}\n{{"job_id": "5"}}\n{FENCE}\n\nReservation valid --> OK\n', 5),
        ("", None),
        ("{}", None),
        ("[]", None),
        ("Generate a job key...\n", None),
        ("my OAR_JOB_ID=6", None),
    ],
)
def test_ids_of_both_generations(output: str, expected: int | None) -> None:
    assert job_id(output) == expected


@pytest.mark.parametrize(
    ("code", "output", "plain"),
    [
        (
            8,
            f"{ADMITTED}OAR_JOB_ID=-5\n{ENOUGH}",
            "no such nodes, or too few: asked for 420 nodes, for 1:0:0; it has 12",
        ),
        (8, 'Bad resource request (ERROR:  column "rack" does not exist\nLINE 4: …', "no property 'rack'"),
        (8, 'Bad resource request (ERROR:  syntax error at or near "YES"\n', "not SQL that it understands"),
        (248, "ERROR : The queue nosuch does not exist\n", "it has no queue 'nosuch'"),
        (
            254,
            "[ADMISSION RULE] Only member of the group admin can submit jobs in the admin queue\n\n",
            "group 'admin'",
        ),
        (254, "[ADMISSION RULE] Error: unknown job type: nope\n\n", "no type of job 'nope'"),
        (254, "[ADMISSION RULE] Error: inner job is requesting an invalid container id.\n", "no container job"),
        (254, "[ADMISSION RULE] 'core' resource is not allowed with a deploy job\n\n", "whole nodes, not 'core'"),
        (254, "[ADMISSION RULE] root and oar users are not allowed to submit jobs.\n", "log in as another user"),
        (
            10,
            "Reservation mode: waiting validation...\nReservation not valid --> KO (Reservation too old)",
            "past by the",
        ),
        (7, "[ERROR] Syntax error near the -r or --reservation option. The reservation date synstax is", "not a time"),
        (255, "/!\\ Cannot recognize the resource description : {nonsense\n", "does not understand the resources"),
        (1, "Cannot frag 9999 ; You are not the right user.\n", "does not exist, or is another user's"),
        (3, "Forbidden: job 7 is not running.\n", "only a running job"),
        (3, "Forbidden: job 7 does not belong to you.\n", "another user's"),
        (3, "request cannot be updated because the walltime cannot increase by more than 1:0:0.", "more than 1:0:0 in"),
        (4, "Not found: could not find job 99.\n", "there is no such job"),
        (5, "Not available: functionality is disabled.", "switched off"),
        (127, "sh: 1: oarsub: not found\n", "not a frontend"),
        (2, "A new sort of trouble\n", "(oarsub, exit code 2)"),
    ],
)
def test_refusals_are_made_plain(code: int, output: str, plain: str) -> None:
    request = Request("web", 420, 3600)
    error = refused(
        "reserve", "reserving 'web'", "alice@fe", "oarsub", code, output, asked=request, there="; it has 12 in all"
    )
    assert str(error).startswith("reserve: reserving 'web' was refused by OAR at alice@fe")
    assert plain in str(error) and f"(oarsub, exit code {code})" in str(error)
    assert "OAR_JOB_ID" not in str(error) and "Modify resource" not in str(error)
    assert output.strip().splitlines()[0].strip() in str(error) or "Modify" in output


def test_words_cannot_move_the_cursor() -> None:
    assert "\x1b" not in refused("reserve", "x", "y", "oarsub", 1, "\x1b[2Jno\x07").message


def test_what_oars_api_passes_on() -> None:
    said = f'Oarsub command exited with status 8: {ADMITTED}OAR_JOB_ID=-5\n\nCmd:\noarsub --name=\\"x\\" sleep'
    command, code, words = passed_on(said)
    assert (command, code) == ("oarsub", 8) and "Cmd" not in words and "OAR_JOB_ID=-5" in words
    # As the system has exit codes.
    said = "Oardel command exited with status 1536: Cannot frag 1 ; This job was already killed.\n. (Command was: x)."
    assert passed_on(said)[:2] == ("oardel", 6)


def test_what_the_grid5000_api_passes_on_of_that() -> None:
    inner = {"code": 500, "title": "Oar server error", "message": "Oarsub command exited with status 254: no\nCmd:\nx"}
    said = f"Request to http://api/oarapi/jobs.json failed with status 500: {json.dumps(inner)}\n\n"
    assert passed_on(said) == ("oarsub", 254, "no")
    assert passed_on("Couldn't find OAR::Job with 'job_id'=\"9\"") == (
        "",
        None,
        "Couldn't find OAR::Job with 'job_id'=\"9\"",
    )
    assert passed_on("failed: {not json")[1] is None
    assert passed_on("failed: [1, {}]")[1] is None
