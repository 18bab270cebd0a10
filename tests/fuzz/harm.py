# SPDX-License-Identifier: GPL-3.0-or-later
"""What may come instead of a valid document: some of it is taken out, changed, or replaced by hostile values."""

from __future__ import annotations

import json
import random
import re
import typing as t
from collections.abc import Callable

import yaml
from hypothesis import strategies as st

Json = t.Any
Path = tuple[t.Any, ...]
#: Makes an input, of chance and of values that hypothesis has found.
Maker = Callable[[random.Random, t.Sequence[Json]], t.Any]

#: Strings that have broken readers before.
WORDS = (
    "",
    "\n",
    "web1\n",
    "a b",
    "²",
    "1²",
    "１",
    "-1",
    "1e9",
    "0x10",
    "NaN",
    "9" * 5000,
    "../../etc/passwd",
    "/etc/shadow",
    "-oProxyCommand=id",
    "--root=/",
    "{{ 7 * 7 }}",
    "{0}",
    "%s%n",
    "$(id)",
    "a\x00b",
    "\x1b]0;x\x07\x1b[2J",
    "\u202e",
    "\ud800",
    "\udcff",
    "[",
    "[1-900000000]",
    "n[1:900000000]",
    "immutable.compose/release/99",
    "immutable.compose/release/9²",
    "x" * 100_000,
)
#: Numbers that are none, or too many.
NUMBERS = (0, -1, 1, 65536, 100_000_000, 2**31, 2**63, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308, 1e-320)
NO_NUMBERS = (float("nan"), float("inf"), float("-inf"))


def nested(depth: int, last: Json = None) -> Json:
    """Lists and objects in each other."""
    for level in range(depth):
        last = [last] if level % 2 else {"a": last}
    return last


VALUES: tuple[Json, ...] = (
    *WORDS,
    *NUMBERS,
    *NO_NUMBERS,
    None,
    True,
    False,
    [],
    {},
    [[]],
    {"": None},
    [None],
    ["a", 1],
    {"a\n": 1},
    {"schema": 1},
    nested(40),
    nested(2000),
    ["x"] * 5000,
    {str(number): number for number in range(3000)},
)
#: Pieces of text that mean something to readers of lines, JSON, YAML and XML.
PIECES = (
    *WORDS,
    "{",
    "}",
    "[",
    "]",
    '"',
    ":",
    ",",
    "\n",
    "\r",
    "\t",
    "\0",
    " ",
    "#",
    "&a *a",
    "!!python/none",
    "---\n",
)

#: Levels of a document that changes reach.
_DEEPEST = 30

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
junk = st.lists(any_json, min_size=1, max_size=4)
chance = st.integers(0, 2**63).map(random.Random)


def places(data: Json, above: Path = ()) -> t.Iterator[Path]:
    """The path of every value, but of the whole."""
    if len(above) > _DEEPEST:
        return
    entries = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in entries:
        yield (*above, key)
        yield from places(value, (*above, key))


def changed(data: Json, path: Path, change: Callable[[t.Any, t.Any], None]) -> Json:
    """A copy in which something was done to the container and key at the end of a path; the rest is shared."""
    copy = dict(data) if isinstance(data, dict) else list(data)
    if len(path) == 1:
        change(copy, path[0])
    else:
        copy[path[0]] = changed(copy[path[0]], path[1:], change)
    return copy


def _slightly(chance_: random.Random, value: Json) -> Json:
    """Nearly the same."""
    if isinstance(value, bool):
        return chance_.choice([int(value), str(value), None])
    if isinstance(value, int) and value.bit_length() > 64:
        return -value
    if isinstance(value, (int, float)):
        return chance_.choice([-value, value + 0.5, str(value), value * 10**9, f"{value}\n", bool(value), [value]])
    if isinstance(value, str):
        at = chance_.randint(0, len(value))
        piece = chance_.choice(PIECES)
        return chance_.choice([value + "\n", value[:at], value[:at] + piece + value[at:], piece + value, value.upper()])
    if isinstance(value, list):
        return chance_.choice([value * 2, value[:1], dict(enumerate(value)), value and value[0]])
    if isinstance(value, dict):
        return chance_.choice([list(value), list(value.items()), {**value, chance_.choice(WORDS): 1}])
    return chance_.choice(VALUES)


def harm(data: Json, chance_: random.Random, values: t.Sequence[Json]) -> Json:
    """The data with a change for each of the values."""
    for value in values:
        known = list(places(data))
        if not known:
            return value
        path = chance_.choice(known)

        def change(copy: t.Any, key: t.Any, value: Json = value) -> None:
            what = chance_.randrange(5)
            if what == 0:
                del copy[key]
            elif what == 1:
                copy[key] = _slightly(chance_, copy[key])
            elif what == 2 and isinstance(copy, dict):
                copy[chance_.choice(WORDS)] = copy.pop(key)
            elif what == 3 and isinstance(copy, dict):
                copy[chance_.choice(list(copy))] = value
            else:
                copy[key] = value

        data = changed(data, path, change)
    return data


def harm_text(text: bytes, chance_: random.Random, times: int) -> bytes:
    """The text with so many changes: cut short, bytes flipped, pieces put in, lines and words doubled or lost."""
    for _time in range(times):
        at, to = sorted((chance_.randint(0, len(text)), chance_.randint(0, len(text))))
        what = chance_.randrange(8)
        piece = chance_.choice(PIECES).encode("utf-8", "surrogatepass")
        if what == 0:
            text = text[:at]
        elif what == 1 and at < len(text):
            text = text[:at] + bytes([text[at] ^ 1 << chance_.randrange(8)]) + text[at + 1 :]
        elif what == 2:
            text = text[:at] + piece + text[at:]
        elif what == 3:
            text = text[:at] + text[min(to, at + 40) :]
        elif what == 4:
            text = text[:at] + bytes(chance_.randrange(256) for _byte in range(4)) + text[at:]
        elif what in (5, 6):
            lines = text.split(b"\n")
            line = chance_.randrange(len(lines))
            lines[line:line] = [lines[chance_.randrange(len(lines))]] if what == 5 else []
            if what == 6:
                del lines[line]
            text = b"\n".join(lines)
        else:
            words = list(re.finditer(rb"[\w.:/-]+", text))
            if words:
                word = chance_.choice(words)
                text = text[: word.start()] + piece + text[word.end() :]
    return text


def data_like(samples: t.Sequence[Json]) -> Maker:
    """Data that is nearly that of a sample, or has nothing in common with it."""

    def make(chance_: random.Random, found: t.Sequence[Json]) -> Json:
        values = [
            chance_.choice(found if chance_.random() < 0.5 else VALUES) for _change in range(chance_.randint(1, 3))
        ]
        return values[0] if chance_.random() < 0.15 else harm(chance_.choice(samples), chance_, values)

    return make


def text_like(samples: t.Sequence[bytes]) -> Maker:
    """The same of text."""

    def make(chance_: random.Random, found: t.Sequence[Json]) -> bytes:
        if chance_.random() < 0.15:
            return _encoded(str(chance_.choice([*found, *WORDS]))) if chance_.random() < 0.5 else chance_.randbytes(99)
        return harm_text(chance_.choice(samples), chance_, chance_.randint(1, 4))

    return make


def json_like(samples: t.Sequence[Json]) -> Maker:
    """Files of JSON whose content is harmed, or the text of it."""
    return either(mapped(data_like(samples), dumped), text_like([dumped(sample) for sample in samples]))


def yaml_like(samples: t.Sequence[Json]) -> Maker:
    """The same of YAML."""
    texts = [yaml.safe_dump(sample, sort_keys=False).encode() for sample in samples]
    return either(mapped(data_like(samples), dumped), text_like(texts))


def either(*makers: Maker) -> Maker:
    """What any of them makes."""
    return lambda chance_, found: chance_.choice(makers)(chance_, found)


def mapped(maker: Maker, change: Callable[[t.Any], t.Any]) -> Maker:
    """What is made of what it makes."""
    return lambda chance_, found: change(maker(chance_, found))


def fitting(maker: Maker, fits: Callable[[t.Any], bool]) -> Maker:
    """What it makes, as far as it could come to be."""

    def make(chance_: random.Random, found: t.Sequence[Json]) -> t.Any:
        while True:
            made = maker(chance_, found)
            if fits(made):
                return made

    return make


def dumped(data: Json) -> bytes:
    """As JSON, of which Python writes more than there is."""
    return _encoded(json.dumps(data, default=repr))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
