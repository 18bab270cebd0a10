"""composition.json is read only in the form that this version writes."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.composition.model import (
    COMPOSITION_SCHEMA,
    Composition,
    Role,
    Volume,
)
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError

COMPOSITION = Composition(
    name="web",
    builder="debian",
    path="/c/web",
    digest="abc",
    roles={"db": Role("db", "identity", (5432,), {"data": Volume("/var/lib/db", 2048)}, False, {"bash": "5.2"})},
    distribution={"db": 1},
    test_script="start_all()",
)


def test_a_composition_comes_back_from_json() -> None:
    assert Composition.from_json(json.loads(json.dumps(COMPOSITION.to_json()))) == COMPOSITION


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"schema": "immutable.compose/composition/2"}, f"expected '{COMPOSITION_SCHEMA}'"),
        ({"schema": None}, "schema is None"),
        ({"roles": None}, "not of schema"),
        ({"colour": "red"}, "colour"),
        ({"roles": {"db": {"name": "db", "prots": []}}}, "prots"),
    ],
)
def test_another_form_is_refused(change: dict[str, t.Any], why: str) -> None:
    with pytest.raises(InputError, match=r"composition\.json") as caught:
        Composition.from_json({**COMPOSITION.to_json(), **change})
    assert why in str(caught.value)


def test_missing_fields_are_refused() -> None:
    data = COMPOSITION.to_json()
    del data["roles"]
    with pytest.raises(InputError, match="no field 'roles'"):
        Composition.from_json(data)
    with pytest.raises(InputError, match="expected a JSON object"):
        Composition.from_json(t.cast(t.Any, []))
