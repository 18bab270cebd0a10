# SPDX-License-Identifier: GPL-3.0-or-later
"""Every document, with every value replaced by ones of other kinds: refused with its path, or read; no traceback."""

from __future__ import annotations

import copy
import json
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import CommandError, ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.model import codec, shape
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Composition
from ansible_collections.immutable.compose.plugins.module_utils.model.plan import Plan
from ansible_collections.immutable.compose.plugins.module_utils.model.result import NodeResult, Problem

from .samples import SAMPLES

#: A value of each kind; numbers that are none for a computer, and texts that are none for a terminal.
MUTANTS: tuple[t.Any, ...] = (
    *(None, True, 0, -1, 2**70, 1.5, float("inf"), "", "x", "\ud800", "1" * 5000),
    *([], [None], [[]], {}, {"x": {}}, {"": 1}),
)
Key = str | int


def places(data: t.Any, path: tuple[Key, ...] = ()) -> t.Iterator[tuple[Key, ...]]:
    """Paths of all values."""
    inside: t.Iterable[tuple[Key, t.Any]] = ()
    if isinstance(data, dict):
        inside = data.items()
    elif isinstance(data, list):
        inside = enumerate(data)
    for key, value in inside:
        yield (*path, key)
        yield from places(value, (*path, key))


def replaced(data: t.Any, path: tuple[Key, ...], value: t.Any) -> t.Any:
    data = copy.deepcopy(data)
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return data


def written(root: str, path: tuple[Key, ...]) -> str:
    """As messages write a path."""
    text = root
    for key in path:
        plain = isinstance(key, str) and key.replace("_", "a").replace("-", "a").isalnum()
        text += f".{key}" if plain else f"[{json.dumps(key)}]"
    return text


@pytest.mark.parametrize("name", SAMPLES)
def test_a_document_comes_back(name: str) -> None:
    sample = SAMPLES[name]
    data = json.loads(json.dumps(codec.encode(sample)))
    assert codec.decode(type(sample), data, name) == codec.decode(type(sample), codec.encode(sample), name)
    assert codec.encode(codec.decode(type(sample), data, name)) == data


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_leave_nothing_out(name: str) -> None:
    """Or the mutations would pass over it."""
    sample = SAMPLES[name]
    assert [key for key in shape.fields(type(sample)) if key not in codec.encode(sample)] == []


@pytest.mark.parametrize("name", SAMPLES)
def test_each_value_replaced_by_others(name: str) -> None:
    type_, data = type(SAMPLES[name]), codec.encode(SAMPLES[name])
    refused = 0
    for path in places(data):
        for mutant in MUTANTS:
            try:
                codec.decode(type_, replaced(data, path, mutant), name)
            except InputError as error:
                refused += 1
                # The path of the value, of one in it, or of what must be beside it.
                assert str(error).startswith(written(name, path)), (path, mutant, str(error))
                assert "hunter2" not in str(error)
                assert len(str(error)) < 600
    assert refused > 5 * len(data)


@pytest.mark.parametrize("name", SAMPLES)
def test_each_field_left_out_or_misspelt(name: str) -> None:
    type_, data = type(SAMPLES[name]), codec.encode(SAMPLES[name])
    for key, field in shape.fields(type_).items():
        less = {other: value for other, value in data.items() if other != key}
        if field.required or key == "schema":
            with pytest.raises(InputError, match=rf"^{name}\.{key} is missing, expected "):
                codec.decode(type_, less, name)
        else:
            codec.decode(type_, less, name)
        if not shape.ignores_unknown(type_):
            remedy = ": a newer version of immutable.compose wrote it" if shape.schema_of(type_) else "; did you mean '"
            with pytest.raises(InputError, match=rf"^{name} has the unknown key '{key}x'{remedy}"):
                codec.decode(type_, {**data, f"{key}x": 1}, name)


@pytest.mark.parametrize("name", [name for name in SAMPLES if shape.schema_of(type(SAMPLES[name]))])
def test_files_cut_short(name: str, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    codec.write(str(path), SAMPLES[name])
    whole = path.read_text()
    for length in (0, 1, len(whole) // 2, len(whole) - 3):
        path.write_text(whole[:length])
        with pytest.raises(InputError, match=rf"^{path}: expected a JSON object of schema .*, found no JSON \("):
            codec.read(type(SAMPLES[name]), str(path))
    path.write_text(whole.replace('"schema": "immutable.compose/', '"schema": "immutable.compose/other-'))
    with pytest.raises(InputError, match=rf"^{path}: {name}\.(\w+\.)*schema is "):
        codec.read(type(SAMPLES[name]), str(path))


def test_secrets_of_a_deployment_can_be_left_out() -> None:
    deployment = SAMPLES["deployment"]
    assert "hunter2" in json.dumps(codec.encode(deployment))
    assert "hunter2" not in json.dumps(codec.encode(deployment, secrets=False))
    assert "hunter2" not in json.dumps(codec.encode(SAMPLES["machine"], secrets=False))


def test_messages_read_as_people_write() -> None:
    data = codec.encode(SAMPLES["deployment"])
    with pytest.raises(InputError) as caught:
        codec.decode(type(SAMPLES["deployment"]), replaced(data, ("nodes", 1, "index"), "x"), "deployment")
    assert str(caught.value) == 'deployment.nodes[1].index is "x", expected a number'
    data = codec.encode(SAMPLES["composition"])
    with pytest.raises(InputError) as caught:
        codec.decode(Composition, {**data, "schema": "immutable.compose/composition/2"}, "composition")
    assert "a newer version of immutable.compose wrote it" in str(caught.value)


def test_a_problem_keeps_what_an_error_knows() -> None:
    error: ComposeError = CommandError("mount /x", 32, "".join(f"line {number}\n" for number in range(100)))
    error.node, error.step = "db1", "switch"
    problem = Problem.of(error)
    assert (problem.command, problem.exit_code, problem.node, problem.step) == ("mount /x", 32, "db1", "switch")
    assert problem.output.splitlines()[0] == "line 80"
    assert str(problem) == str(error)
    assert Problem.of(InputError("no")) == Problem("no")


def test_nodes_that_were_left_did_not_fail() -> None:
    assert NodeResult(ok=False, message="no").failed
    assert not NodeResult(ok=False, left=True).failed


def test_a_plan_knows_whether_it_is_pending() -> None:
    plan: Plan = SAMPLES["plan"]
    assert plan.pending
    assert plan.names("replace", "create") == ["db1"]
