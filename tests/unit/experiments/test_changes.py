# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployment files that say something else for one run."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe.changes import changes_of, with_changes
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError

FILE: dict[str, t.Any] = {
    "network": "10.87.0.0/16",
    "parameters": {"a": 1, "deep": {"b": 2}},
    "roles": {"web": {"names": ["x"], "options": {"memory": 512}}, "db": 1},
}


@pytest.mark.parametrize(
    ("changes", "key", "expected"),
    [
        ({"network": "10.1.0.0/16"}, "network", "10.1.0.0/16"),
        ({"parameters": {"deep": {"c": 3}}}, "parameters", {"a": 1, "deep": {"b": 2, "c": 3}}),
        ({"parameters": {"deep": 1}}, "parameters", {"a": 1, "deep": 1}),
        ({"roles": {"db": 3}}, "roles", {**FILE["roles"], "db": 3}),
        ({"roles": {"web": 3}}, "roles", {"web": {"names": ["x"], "count": 3, "options": {"memory": 512}}, "db": 1}),
        ({"roles": {"web": ["y"]}}, "roles", {"web": {"names": ["y"], "options": {"memory": 512}}, "db": 1}),
        ({"roles": {"web": {"names": ["y"]}}}, "roles", {"web": {"names": ["y"], "options": {"memory": 512}}, "db": 1}),
        (
            {"roles": {"web": {"options": {"memory": 1}}}},
            "roles",
            {"web": {"names": ["x"], "options": {"memory": 1}}, "db": 1},
        ),
        ({"roles": {"new": 1}}, "roles", {**FILE["roles"], "new": 1}),
    ],
)
def test_changes(changes: dict[str, t.Any], key: str, expected: object) -> None:
    before = repr(FILE)
    merged = with_changes(FILE, changes)
    assert merged == {**FILE, key: expected}
    assert repr(FILE) == before


def test_they_are_those_of_the_deployment() -> None:
    assert changes_of({"compose_changes": {"lab": {"keep": 1}}}, "lab") == {"keep": 1}
    assert changes_of({"compose_changes": {"lab": {"keep": 1}}}, "other") == {}
    assert changes_of({}, "lab") == {}
    for value in ("lab", {"lab": 3}):
        with pytest.raises(InputError, match="compose_changes.* expected a mapping"):
            changes_of({"compose_changes": value}, "lab")
