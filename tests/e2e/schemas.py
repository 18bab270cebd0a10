# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents, held against docs/schemas."""

from __future__ import annotations

import json
import typing as t
from functools import cache
from pathlib import Path

from jsonschema import Draft202012Validator

SCHEMAS = Path(__file__).parents[2] / "docs/schemas"


def complaints(data: t.Any, name: str) -> list[str]:
    """What a schema has against data.

    :param name: of the schema.
    """
    return [f"{error.json_path}: {error.message}" for error in _validator(name).iter_errors(data)]


@cache
def _validator(name: str) -> Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def documents(directory: str | Path) -> dict[str, t.Any]:
    """Path → content of all files below a directory, or behind links in it, that name a schema."""
    found = {}
    for path in [*Path(directory).rglob("*.json"), *Path(directory).glob("roots/*/image.json")]:
        data = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(data, dict) and "schema" in data:
            found[str(path.relative_to(directory))] = data
    return found


def check_documents(directory: str | Path, without_schema: t.Collection[str] = ()) -> set[str]:
    """Fail if a document does not fit its schema; the names of the schemas that were held against one.

    :param without_schema: names of documents that have no schema yet.
    """
    wrong, seen = {}, set()
    for path, data in documents(directory).items():
        name = data["schema"].split("/")[1]
        if name not in without_schema:
            seen.add(name)
            wrong[path] = complaints(data, name)
    assert {path: found for path, found in wrong.items() if found} == {}
    return seen
