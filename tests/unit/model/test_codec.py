"""Types and JSON: strict, and with the path and the value in every complaint."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.model import codec
from ansible_collections.immutable.compose.plugins.module_utils.model.free import Options, Parameters


@dataclass(frozen=True)
class Part:
    name: str
    index: int = 1
    ratio: float = 0.0
    on: bool = True
    note: str | None = None
    which: None | int | list[str] = None
    word: t.Literal["keep", "replace"] = "keep"
    free: Parameters = field(default_factory=dict)
    secrets: t.Mapping[str, str] = field(default_factory=dict, metadata={"secret": True})


def _second(data: dict[str, t.Any]) -> dict[str, t.Any]:
    parts = data.pop("pieces")
    return {**data, "schema": "immutable.compose/whole/3", "parts": parts}


@dataclass(frozen=True)
class Whole:
    parts: tuple[Part, ...]
    by_name: t.Mapping[str, Part] = field(default_factory=dict)
    best: Part | None = None
    schema: t.Literal["immutable.compose/whole/3"] = "immutable.compose/whole/3"
    migrations: t.ClassVar[t.Mapping[str, t.Any]] = {"immutable.compose/whole/2": _second}


@dataclass(frozen=True)
class Open:
    name: str
    ignores_unknown: t.ClassVar[bool] = True


WHOLE = Whole((Part("a"), Part("b", 2, 0.5, False, "x", ["c"])), {"k": Part("d", which=3)}, Part("e"))

#: What is wrong with what only a newer version can have written, and what to do.
NEWER = "a newer version of immutable.compose wrote it; install that version here"


def changed(path: list[t.Any], value: t.Any) -> t.Any:
    data = codec.encode(WHOLE)
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return data


def test_what_is_encoded_comes_back() -> None:
    data = codec.encode(WHOLE)
    assert json.loads(json.dumps(data)) == data
    assert codec.decode(Whole, data, "whole") == WHOLE
    assert data["schema"] == "immutable.compose/whole/3"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["parts", 1, "index"], "x", 'whole.parts[1].index is "x", expected a number'),
        (["parts", 1, "index"], "2", 'whole.parts[1].index is "2", expected a number'),
        (["parts", 1, "index"], True, "whole.parts[1].index is true, expected a number"),
        (["parts", 1, "index"], None, "whole.parts[1].index is null, expected a number"),
        (["parts", 1, "index"], 1.5, "whole.parts[1].index is 1.5, expected a whole number"),
        (["parts", 1, "index"], 2.0, "whole.parts[1].index is 2.0, expected a whole number"),
        (["parts", 0, "on"], 1, "whole.parts[0].on is 1, expected true or false"),
        (["parts", 0, "on"], "yes", 'whole.parts[0].on is "yes", expected true or false'),
        (["parts", 0, "name"], 3, "whole.parts[0].name is 3, expected a string"),
        (["parts", 0, "note"], 3, "whole.parts[0].note is 3, expected a string or null"),
        (["parts", 0, "which"], "x", 'whole.parts[0].which is "x", expected a number, a list of strings or null'),
        (["parts", 0, "which"], ["x", 3], "whole.parts[0].which[1] is 3, expected a string"),
        (["parts", 0, "word"], "kept", 'whole.parts[0].word is "kept", expected "keep" or "replace"'),
        (["parts", 0, "free"], 3, "whole.parts[0].free is 3, expected an object"),
        (["parts", 0, "indx"], 3, f"whole.parts[0] has the unknown key 'indx': {NEWER}"),
        (["parts"], {"a": 1}, "whole.parts is an object, expected a list of objects"),
        (["parts", 0], "x", 'whole.parts[0] is "x", expected an object'),
        (["by_name", "k", "name"], [], "whole.by_name.k.name is a list, expected a string"),
        (["by_name", "two words"], 3, 'whole.by_name["two words"] is 3, expected an object'),
        (["by_name", "n.example"], {}, 'whole.by_name["n.example"].name is missing, expected a string'),
        (["best"], "x", 'whole.best is "x", expected an object or null'),
        (["best", "name"], 3, "whole.best.name is 3, expected a string"),
        (["best", "colour"], 3, f"whole.best has the unknown key 'colour': {NEWER}"),
        (["schema"], None, 'whole.schema is null, expected "immutable.compose/whole/3"'),
        (["schema"], "other/9", 'whole.schema is "other/9", expected "immutable.compose/whole/3"'),
        (["schema"], "immutable.compose/whole/4", NEWER),
        (["schema"], f"immutable.compose/whole/{'9' * 5000}", NEWER),
        (["schema"], "immutable.compose/whole/1", "an older version of immutable.compose wrote it"),
    ],
)
def test_what_does_not_fit_is_named(path: list[t.Any], value: t.Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        codec.decode(Whole, changed(path, value), "whole")
    assert message in str(caught.value)


@pytest.mark.parametrize(("key", "hint"), [("indx", "; did you mean 'index'?"), ("colour", "; valid: free, index, ")])
def test_what_people_write_has_keys_that_are_misspelt(key: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        codec.decode(Part, {"name": "a", key: 3}, "part")
    assert f"part has the unknown key {key!r}{hint}" in str(caught.value)


@pytest.mark.parametrize("data", [None, 3, "x", [], True])
def test_the_whole_of_another_kind(data: t.Any) -> None:
    with pytest.raises(InputError, match=r"^whole is .*, expected an object$"):
        codec.decode(Whole, data, "whole")


def test_a_missing_schema_is_refused() -> None:
    data = codec.encode(WHOLE)
    del data["schema"]
    with pytest.raises(InputError, match=r"whole\.schema is missing, expected"):
        codec.decode(Whole, data, "whole")


def test_values_are_shortened() -> None:
    with pytest.raises(InputError) as caught:
        codec.decode(Whole, changed(["best"], "x" * 1000), "whole")
    assert len(str(caught.value)) < 130
    assert "xxx…" in str(caught.value)


@pytest.mark.parametrize("value", ["hunter2", {"db": 31337}, {"db": {"x": "hunter2"}}, {"db": ["hunter2, expected "]}])
def test_secrets_are_never_shown(value: t.Any) -> None:
    with pytest.raises(InputError) as caught:
        codec.decode(Whole, changed(["parts", 0, "secrets"], value), "whole")
    message = str(caught.value)
    assert "hunter2" not in message
    assert "31337" not in message
    assert message.startswith("whole.parts[0].secrets")
    assert "is a secret (not shown), expected" in message


def test_secrets_in_the_wrong_place_are_not_shown() -> None:
    with pytest.raises(InputError) as caught:
        codec.decode(Whole, changed(["parts"], {"a": {"name": "a", "secrets": {"db": "hunter2"}}}), "whole")
    assert "hunter2" not in str(caught.value)


def test_secrets_can_be_left_out() -> None:
    whole = Whole((Part("a", secrets={"db": "hunter2"}),), {"k": Part("b", secrets={"db": "hunter2"})})
    assert "hunter2" in json.dumps(codec.encode(whole))
    public = codec.encode(whole, secrets=False)
    assert "hunter2" not in json.dumps(public)
    assert codec.decode(Whole, public, "whole").parts[0].secrets == {}


def test_older_documents_are_migrated() -> None:
    data = codec.encode(WHOLE)
    data["pieces"] = data.pop("parts")
    assert codec.decode(Whole, {**data, "schema": "immutable.compose/whole/2"}, "whole") == WHOLE


def test_open_types_ignore_what_they_do_not_know() -> None:
    assert codec.decode(Open, {"name": "a", "colour": "red"}, "open") == Open("a")


class Marked(str):
    """As Ansible marks strings with where they come from."""


def test_marked_strings_are_strings() -> None:
    data = {Marked("parts"): [{Marked("name"): Marked("a"), "free": {Marked("k"): [Marked("v")]}}]}
    whole = codec.decode(Whole, {**data, "schema": Marked("immutable.compose/whole/3")}, "whole")
    assert whole == Whole((Part("a", free={"k": ["v"]}),))
    encoded = codec.encode(Whole((Part(Marked("a"), free={Marked("k"): [Marked("v")]}),)))
    assert encoded["parts"][0]["name"].__class__ is str
    assert [key.__class__ for key in encoded["parts"][0]["free"]] == [str]


FREE: list[t.Any] = [None, True, 1, 0.5, "x", [], {}, [{"a": [None, {"b": 1}]}]]


@pytest.mark.parametrize("value", FREE)
def test_any_json_is_free(value: t.Any) -> None:
    assert codec.decode(Part, {"name": "a", "free": {"k": value}}, "part").free == {"k": value}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (datetime.date(2026, 1, 2), 'part.free.k is "datetime.date(2026, 1, 2)", expected plain data'),
        ([1, {"a": {2}}], 'part.free.k[1].a is "{2}", expected plain data'),
        ({"a": {3: "x"}}, "part.free.k.a: has a key that is not a string"),
    ],
)
def test_what_is_no_json_is_not_free(value: t.Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        codec.decode(Part, {"name": "a", "free": {"k": value}}, "part")
    assert str(caught.value) == message


@dataclass(frozen=True)
class Chosen:
    options: Options


@pytest.mark.parametrize("value", [None, True, 1, "x", [], ["x"]])
def test_values_of_options(value: t.Any) -> None:
    chosen = codec.decode(Chosen, {"options": {"o": value}}, "chosen").options["o"]
    assert (chosen, type(chosen)) == (value, type(value))


@pytest.mark.parametrize("value", [{"a": 1}, 0.5, [1]])
def test_what_no_option_is(value: t.Any) -> None:
    with pytest.raises(InputError, match=r"^chosen\.options\.o(\[0\])? is .*, expected "):
        codec.decode(Chosen, {"options": {"o": value}}, "chosen")


def test_keys_that_are_no_strings() -> None:
    with pytest.raises(InputError, match=r"whole\.by_name"):
        codec.decode(Whole, changed(["by_name", 3], {"name": "x"}), "whole")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (b"{", "line 1 column 2"),
        (b"\xff\xfe", "codec can't decode"),
        (b"[" * 100000, "nested too deeply"),
        (b"null", "whole is null, expected an object"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "whole.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        codec.read(Whole, str(path))
    assert str(caught.value).startswith(f"{path}")
    assert why in str(caught.value)


def test_what_to_do_is_said_of_what_is_damaged_and_not_of_what_is_newer(tmp_path: Path) -> None:
    path = tmp_path / "whole.json"
    for content in ("", "{}", json.dumps({**codec.encode(WHOLE), "parts": 3})):
        path.write_text(content)
        with pytest.raises(InputError, match=r"\. Remove it$"):
            codec.read(Whole, str(path), remedy="Remove it")
    for newer in ({"schema": "immutable.compose/whole/4"}, {"later": 1}):
        path.write_text(json.dumps({**codec.encode(WHOLE), **newer}))
        with pytest.raises(codec.NewerError, match=f": {NEWER}$"):
            codec.read(Whole, str(path), remedy="Remove it")


def test_files(tmp_path: Path) -> None:
    path = str(tmp_path / "whole.json")
    codec.write(path, WHOLE)
    assert codec.read(Whole, path) == WHOLE
    with pytest.raises(FileNotFoundError):
        codec.read(Whole, str(tmp_path / "none.json"))
    with pytest.raises(InputError, match="Is a directory"):
        codec.read(Whole, str(tmp_path))


@dataclass(frozen=True)
class Short:
    brief: t.ClassVar[bool] = True

    name: str
    note: str | None = None
    parts: t.Sequence[Part] = ()
    words: t.Mapping[str, str] = field(default_factory=dict)
    ok: bool = field(default=True, metadata={"always": True})


@dataclass(frozen=True)
class Shorts:
    by_name: t.Mapping[str, Short]
    best: Short | None = None
    lists: t.Sequence[t.Sequence[Short]] = ()


def test_what_need_not_be_told_is_left_out() -> None:
    assert codec.encode(Short("a")) == {"name": "a", "ok": True}
    assert codec.encode(Short("", "", (Part("b"),), {"k": ""}, False)) == {
        "name": "",
        "note": "",
        "parts": [codec.encode(Part("b"))],
        "words": {"k": ""},
        "ok": False,
    }
    shorts = Shorts({"a": Short("a")}, None, [[Short("b", ok=False)]])
    data = codec.encode(shorts)
    assert data == {
        "by_name": {"a": {"name": "a", "ok": True}},
        "best": None,
        "lists": [[{"name": "b", "ok": False}]],
    }
    again = codec.decode(Shorts, data, "shorts")
    assert (again.best, again.by_name["a"].parts) == (None, ())
    assert codec.encode(again) == data


def test_what_is_no_text_is_written_nevertheless() -> None:
    data = codec.encode(Short("half a \ud800", words={"\udcff": "x"}))
    assert data == {"name": "half a \\ud800", "words": {"\\udcff": "x"}, "ok": True}


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    data = codec.encode(WHOLE)
    monkeypatch.setitem(sys.modules, "msgspec", None)
    with pytest.raises(ComposeError) as caught:
        codec.decode(Whole, data, "whole")
    assert sys.executable in str(caught.value)
    assert "pip install 'msgspec>=" in str(caught.value)


def test_ten_thousand_nodes_are_quick() -> None:
    whole = Whole(tuple(Part(f"n{number}", number, free={"a": [1, 2]}, secrets={"s": "x"}) for number in range(10000)))
    codec.decode(Whole, codec.encode(WHOLE), "whole")
    start = time.process_time()
    data = codec.encode(whole)
    assert codec.decode(Whole, data, "whole") == whole
    # Measured: 0.02 s. The limit tells a quadratic walk from a slow machine.
    assert time.process_time() - start < 0.5


#: One round for each type that is new to the library: only then is there anything to be in each other's way about.
THREADS = """
import dataclasses, sys, threading, typing
from ansible_collections.immutable.compose.plugins.module_utils.model import codec

sys.setswitchinterval(1e-6)
for dummy in range(200):
    part = dataclasses.make_dataclass("Part", [("a", int), ("b", typing.Optional[str], None)], frozen=True)
    whole = dataclasses.make_dataclass("Whole", [("x", part), ("y", typing.List[part])], frozen=True)
    together = threading.Barrier(8)

    def read():
        together.wait()
        assert codec.decode(whole, {"x": {"a": 1}, "y": [{"a": 2, "b": "c"}]}, "whole").y[0].b == "c"

    threads = [threading.Thread(target=read) for dummy in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print("fine")
"""


def test_threads_may_read_the_first_document_of_a_type_at_once() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", THREADS], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")
