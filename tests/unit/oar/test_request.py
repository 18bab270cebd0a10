# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be asked of OAR, and what is refused before it is."""

from __future__ import annotations

import datetime
import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.oar.request import (
    Request,
    hms,
    request,
    seconds,
    start_time,
)

#: 12:00 UTC.
NOON = datetime.datetime(2026, 12, 1, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3:20:0", 12000), ("0:10", 600), ("12000", 12000), (" 01:00:00 ", 3600), ("100:0:0", 360000), ("0:0:1", 1)],
)
def test_walltimes(text: str, expected: int) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text", ["", "foo", "3h", "1:2:3:4", "1:60:0", "0:0:75", "1.5", "²", ":10", "-1:0:0", "-60", "0", "0:0:0", "3:20:"]
)
def test_walltimes_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="walltime is '.*expected"):
        seconds(text)


def test_a_walltime_before_its_beginning() -> None:
    with pytest.raises(InputError, match="ends before it begins"):
        seconds("-3:20:0")


@pytest.mark.parametrize("total", [1, 59, 60, 600, 3599, 12000, 360000])
def test_what_is_written_is_read(total: int) -> None:
    assert seconds(hms(total)) == total


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-12-01 19:00:00", "2026-12-01 19:00:00"),
        ("2026-12-01 19:00", "2026-12-01 19:00:00"),
        ("2026-12-01 1:00", "2026-12-01 01:00:00"),
    ],
)
def test_starts(text: str, expected: str) -> None:
    assert start_time(text, NOON) == expected


@pytest.mark.parametrize("text", ["tomorrow", "2026-12-01", "2026-13-01 10:00:00", "19:00", "2026-02-30 10:00:00"])
def test_starts_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="expected YYYY-MM-DD HH:MM:SS"):
        start_time(text, NOON)


def test_a_start_is_past_where_it_is_past_everywhere() -> None:
    assert start_time("2026-12-01 00:30", NOON)  # where it is a quarter past midnight now
    with pytest.raises(InputError, match="which is in the past"):
        start_time("2026-11-30 23:59", NOON)
    with pytest.raises(InputError, match="which is in the past"):
        start_time("2026-11-30 23:59", NOON.astimezone(datetime.timezone(datetime.timedelta(hours=9))))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": ""}, "name is ''"),
        ({"name": "a b"}, "name is 'a b', expected a letter"),
        ({"name": "-x"}, "name is '-x'"),
        ({"name": "x" * 101}, "100 at most"),
        ({"nodes": 0}, "nodes is 0, expected 1 or more"),
        ({"nodes": -2}, "nodes is -2"),
        ({"types": ("deploy now",)}, "types is 'deploy now'"),
        ({"types": ("",)}, "types is ''"),
        ({"queue": "a;b"}, "queue is 'a;b'"),
        ({"properties": "cluster='x"}, "a quote that is not closed"),
        ({"properties": "a=1\nb=2"}, "properties is .* expected one line"),
        ({"command": " "}, "command is empty"),
    ],
)
def test_refused(wrong: dict[str, t.Any], message: str) -> None:
    given: dict[str, t.Any] = {"name": "web", "nodes": 2, "walltime": 60}
    with pytest.raises(InputError, match=message):
        Request(**{**given, **wrong})


def test_as_people_write_it() -> None:
    asked = request(name="web", nodes=42, walltime="3:20:0", types=["deploy"], queue=None, properties="cluster='dahu'")
    assert asked == Request("web", 42, 12000, "cluster='dahu'", types=("deploy",))
    assert asked.resources == "/nodes=42,walltime=3:20:0"
    assert str(asked) == "42 nodes, for 3:20:0, properties cluster='dahu', types deploy"
    assert str(Request("one", 1, 60)) == "1 node, for 0:1:0"


def test_nodes_with_their_scratch_disks() -> None:
    asked = request(name="web", nodes=2, walltime="1:0:0", disks=3)
    where = "{(type='default' or type='disk') and disk_reservation_count >= 3}"
    assert asked.resources == f"{where}/host=2,walltime=1:0:0"
    assert str(asked) == "2 nodes, for 1:0:0, disks 3 or more"
