# SPDX-License-Identifier: GPL-3.0-or-later
"""What the run of a trial hands back."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.experiments import measured
from ansible_collections.immutable.compose.plugins.module_utils.model.report import Measurement

WELL = {"ok": True, "changed": False, "message": ""}


def result(nodes: dict[str, t.Any], **one: t.Any) -> dict[str, t.Any]:
    return {"nodes": nodes, "failed_nodes": [], "deployments": {"lab": {"checks": {}, **one}}}


def test_what_was_recorded_comes_back_from_its_file(tmp_path: Path) -> None:
    found = measured.measured_by(
        result({"app1": WELL}, records=[{"name": "speed", "value": 5, "unit": "MB/s"}], files=["raw/a"], message="")
    )
    assert (found.ok, found.message, list(found.files)) == (True, "", ["raw/a"])
    assert list(found.records) == [Measurement("speed", 5, "MB/s")]
    measured.write(found, str(tmp_path))
    assert measured.read(str(tmp_path)) == found
    measured.forget(str(tmp_path))
    measured.forget(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        measured.read(str(tmp_path))


def test_nodes_that_are_not_well_and_scripts_that_fail_are_told_once() -> None:
    ill = {"ok": False, "changed": False, "message": "units: x.service has failed"}
    found = measured.measured_by(result({"app1": ill, "app2": ill, "app3": WELL}))
    assert (found.ok, found.message) == (False, "units: x.service has failed")
    found = measured.measured_by(result({}, message="testScript: line 1: no"))
    assert (found.ok, found.message) == (False, "testScript: line 1: no")


def test_what_is_no_result_is_refused() -> None:
    with pytest.raises(InputError, match=r"result.deployments.lab.records\[0\]"):
        measured.measured_by(result({}, records=[{"value": 5}]))
