# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/schemas and the tables of docs/formats.md are what the types say."""

from __future__ import annotations

import importlib.util
import sys
import typing as t
from pathlib import Path

import pytest
from schemas import SCHEMAS, complaints

from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.model import codec, shape

from .samples import SAMPLES
from .test_documents import MUTANTS, places, replaced

TOOL = Path(__file__).parents[2] / "tools/schemas.py"


def load_tool() -> t.Any:
    spec = importlib.util.spec_from_file_location("schemas_tool", TOOL)
    assert spec
    assert spec.loader
    module = sys.modules["schemas_tool"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = load_tool()
WRITTEN = sorted(tool.DOCUMENTS)


def test_files_are_up_to_date() -> None:
    stale = [path.name for path, text in tool.generated().items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "run `make schemas`"
    assert sorted(path.stem for path in SCHEMAS.iterdir()) == sorted([*tool.DOCUMENTS, "current"])


def test_every_type_of_a_document_has_a_table() -> None:
    tables = {match["type"] for match in tool.MARKED.finditer((SCHEMAS.parent / "formats.md").read_text())}
    parts = {name for type_ in tool.DOCUMENTS.values() for name in tool.parts(type_)}
    assert parts - tables == set()


def test_every_document_has_a_sample() -> None:
    assert set(tool.DOCUMENTS) <= set(SAMPLES)


@pytest.mark.parametrize("name", WRITTEN)
def test_what_the_codec_writes_fits(name: str) -> None:
    assert complaints(codec.encode(SAMPLES[name]), name) == []


@pytest.mark.parametrize("name", WRITTEN)
def test_schema_and_codec_refuse_the_same(name: str) -> None:
    type_, data = type(SAMPLES[name]), codec.encode(SAMPLES[name])
    for path in places(data):
        for mutant in (value for value in MUTANTS if value not in ("\ud800", float("inf"))):
            changed = replaced(data, path, mutant)
            try:
                codec.decode(type_, changed, name)
                refused = False
            except InputError:
                refused = True
            assert bool(complaints(changed, name)) == refused, (path, mutant)


def test_unknown_keys_do_not_fit() -> None:
    for name in WRITTEN:
        found = complaints({**codec.encode(SAMPLES[name]), "colour": 1}, name)
        assert bool(found) != shape.ignores_unknown(tool.DOCUMENTS[name])
