# SPDX-License-Identifier: GPL-3.0-or-later
"""Two versions of the collection on one deployment: the newer takes it over and nothing boots; the older refuses."""

from __future__ import annotations

import json
import re
import typing as t

import pytest
from tiny import Tiny

#: What a record of a release had in its first version.
FIRST = {
    "number", "deployment", "composition", "revision", "images", "nodes", "ports", "test_script", "created", "previous",
    "checks", "places", "composition_name", "may_fail",
}  # fmt: skip
#: What a run reads of a deployment that is there: the document's name → where it lies.
READ = {
    "state": "deployment.json",
    "addresses": "addresses.json",
    "release": "releases/1.json",
    "machine": "nodes/app1/current.json",
    "owner": "volumes/app1/owner.json",
}


@pytest.fixture(scope="module")
def lab(tiny_of: t.Callable[..., Tiny]) -> Tiny:
    lab = tiny_of(2, 0)
    (lab.inventory / "two.compose.yml").unlink()
    lab.play("deploy")
    return lab


def boots(lab: Tiny) -> list[str]:
    return [lab.boot_of(node) for node in ("app1", "app2")]


def test_what_an_older_version_deployed_is_taken_over_without_a_boot(lab: Tiny) -> None:
    before, record = boots(lab), lab.state / "releases/1.json"
    old = {key: value for key, value in json.loads(record.read_text()).items() if key in FIRST}
    record.write_text(json.dumps({**old, "schema": "immutable.compose/release/1"}))
    assert lab.play("verify").changed == 0
    assert lab.play("deploy").changed == 0
    lab.write(roles={"app": 3})
    lab.play("deploy")
    assert boots(lab) == before
    assert lab.read_release()["schema"] == "immutable.compose/release/2"
    assert lab.read_release()["nodes"].keys() == {"app1", "app2", "app3"}


def test_what_a_newer_version_deployed_is_refused_with_what_to_do(lab: Tiny) -> None:
    before = boots(lab)
    for name, file in READ.items():
        path = lab.state / file
        right = path.read_text()
        path.write_text(re.sub(rf'("immutable\.compose/{name}/)\d+"', r'\g<1>99"', right))
        run = lab.play("deploy", expect=2)
        said = " ".join(run.output.split())
        assert str(path) in said and "a newer version of immutable.compose wrote it; install that version" in said, name
        path.write_text(right)
    assert boots(lab) == before
    assert lab.play("deploy").changed == 0
