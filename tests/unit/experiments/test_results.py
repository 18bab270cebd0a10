# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a results directory is, and the tables in it."""

from __future__ import annotations

import csv
import os
import subprocess
import typing as t
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet
import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.experiments import table
from ansible_collections.immutable.compose.plugins.module_utils.experiments.results import Results
from ansible_collections.immutable.compose.plugins.module_utils.experiments.trials import Subject, read
from ansible_collections.immutable.compose.plugins.module_utils.model import codec
from ansible_collections.immutable.compose.plugins.module_utils.model.experiment import Trial
from ansible_collections.immutable.compose.plugins.module_utils.model.report import (
    MachineProfile,
    Measurement,
    Provenance,
)

Write = t.Callable[..., str]

IDS = ["x-1", "a-1", "b-1"]

SOURCE = Provenance(
    "web", "d1", "c0ffee", 3, "debian", "nspawn", "here", {"app": "abc-app"}, {"app1": "app"},
    {"app1": MachineProfile("6.1.0", "Some CPU", 2, 512)},
)  # fmt: skip
FAST = Trial(
    "a-1", {"clients": 1, "block": "4k"}, 1, "lab", {}, True, started="2026-01-31T12:00:00Z", seconds=2.5,
    records=[Measurement("speed", 5, "MB/s"), Measurement("mode", "direct")], provenance=SOURCE, tools={"execo": "2.8"},
)  # fmt: skip
FAILED = Trial("b-1", {"clients": 2, "block": 4}, 1, "lab", {}, False, "line 1: …", started="2026-01-31T12:01:00Z")


@pytest.fixture
def subject(write: Write) -> Subject:
    return read(write())


def decoded(trial: Trial) -> Trial:
    """As it comes back from a file."""
    return codec.decode(Trial, codec.encode(trial), "trial")


def claimed(path: Path, subject: Subject) -> Results:
    results = Results(str(path), subject, IDS)
    results.claim()
    return results


def test_it_goes_on_with_its_own(tmp_path: Path, subject: Subject) -> None:
    results = claimed(tmp_path / "results", subject)
    results.keep(FAST)
    more = replace(subject, experiment=replace(subject.experiment, sweep={"clients": [1, 2, 3]}, repetitions=2))
    again = claimed(tmp_path / "results", more)
    assert again.trials() == [decoded(FAST)]


def test_that_of_another_experiment_is_refused(tmp_path: Path, subject: Subject) -> None:
    claimed(tmp_path / "results", subject)
    for other, why in (
        (replace(subject, name="other"), "has the results of the experiment 'fs', not 'other'"),
        (replace(subject, script="pass"), "has the results of another script"),
        (
            replace(subject, experiment=replace(subject.experiment, deployment="elsewhere")),
            "has the results of another experiment: its deployment was 'lab', now it is 'elsewhere'",
        ),
    ):
        with pytest.raises(InputError, match=why):
            Results(str(tmp_path / "results"), other, IDS)


def test_what_is_no_results_directory_is_refused(tmp_path: Path, subject: Subject) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    for name, why in (
        ("file", "is a file, expected a directory"),
        ("full", "has files, and no experiment.json: it is not a results directory"),
        ("open", "others may write to it"),
    ):
        with pytest.raises(InputError, match=why):
            Results(str(tmp_path / name), subject, IDS)
    assert os.listdir(tmp_path / "full") == ["mine.txt"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_no_space_is_refused(tmp_path: Path, subject: Subject) -> None:
    full = tmp_path / "full"
    full.mkdir(mode=0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs", str(full)], check=True)
    try:
        with pytest.raises(InputError, match="1 MiB are free there, expected at least 16"):
            Results(str(full / "deep" / "results"), subject, IDS)
        assert os.listdir(full) == []
    finally:
        subprocess.run(["umount", str(full)], check=True)


def test_the_table_has_a_row_for_each_value(tmp_path: Path, subject: Subject) -> None:
    results = claimed(tmp_path / "results", subject)
    results.keep(FAST)
    results.keep(FAILED)
    assert results.write_table(["clients", "block"])
    with open(results.at("results.csv"), newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["trial"], row["name"], row["value"], row["text"], row["unit"]) for row in rows] == [
        ("a-1", "speed", "5.0", "", "MB/s"),
        ("a-1", "mode", "", "direct", ""),
        ("b-1", "", "", "", ""),
    ]
    assert list(rows[0])[:4] == ["trial", "clients", "block", "repetition"]
    assert (rows[0]["images"], rows[0]["kernel"], rows[0]["machines"], rows[0]["revision"], rows[0]["release"]) == (
        "app=abc-app",
        "6.1.0",
        "app1=2x Some CPU 512 MiB",
        "c0ffee",
        "3",
    )
    assert (rows[0]["ok"], rows[2]["ok"], rows[2]["message"]) == ("true", "false", "line 1: …")

    stored = pyarrow.parquet.read_table(results.at("results.parquet"))
    types = {field.name: str(field.type) for field in stored.schema}
    assert (types["clients"], types["block"], types["value"], types["ok"]) == ("int64", "string", "double", "bool")
    assert [row["block"] for row in stored.to_pylist()] == ["4k", "4k", "4"]
    assert [row["value"] for row in stored.to_pylist()] == [5.0, None, None]


def test_every_column_is_named(subject: Subject) -> None:
    for trial in (FAST, FAILED):
        for row in table.rows_of(trial):
            assert set(row) <= {*table.COLUMNS, *trial.combination}


def test_what_was_measured_does_not_get_lost(tmp_path: Path, subject: Subject) -> None:
    results = claimed(tmp_path / "results", subject)
    results.keep(FAST)
    results.keep(FAILED)
    assert results.done() == {"a-1"}
    Results(results.path, subject, ["a-1", "c-1"])  # what has failed may be left out
    with pytest.raises(InputError, match="has 1 measured trials that the experiment does not have any more, such as a"):
        Results(results.path, subject, ["b-1", "c-1"])


def test_a_directory_that_a_kill_left_without_its_mark_is_gone_on_with(tmp_path: Path, subject: Subject) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / ".experiment.json.new").write_text("{")
    assert claimed(tmp_path / "results", subject).trials() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_what_cannot_be_written_to_is_refused(tmp_path: Path, subject: Subject) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,mode=755", "tmpfs", str(tmp_path)], check=True)
    try:
        with pytest.raises(InputError, match="nothing can be written to"):
            Results(str(tmp_path / "deep" / "results"), subject, IDS)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_both_tables_say_the_same(tmp_path: Path, subject: Subject) -> None:
    results = claimed(tmp_path / "results", subject)
    levels = {"x-1": (True, 10**30, 1), "a-1": ("auto", 1, 0.5), "b-1": (False, 2, 2**60)}
    for name, (cache, big, mixed) in levels.items():
        records = [Measurement("n", 2**60)]
        results.keep(replace(FAST, id=name, combination={"cache": cache, "big": big, "mixed": mixed}, records=records))
    assert results.write_table(["cache", "big", "mixed"])
    with open(results.at("results.csv"), newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    stored = pyarrow.parquet.read_table(results.at("results.parquet")).to_pylist()
    assert [row["cache"] for row in rows] == [row["cache"] for row in stored] == ["true", "auto", "false"]
    assert [row["big"] for row in rows] == [row["big"] for row in stored] == [str(10**30), "1", "2"]
    assert [float(row["mixed"]) for row in rows] == [row["mixed"] for row in stored] == [1, 0.5, 2.0**60]
    assert [float(row["value"]) for row in rows] == [row["value"] for row in stored]
