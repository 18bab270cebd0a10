# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with data that does not fit a type, in words. PRIVATE to the collection.

The library that converts does not say below which key of a mapping the fault was, nor shows the value. So data
that is known to be wrong is looked at once more, part by part, with the library as the judge of each.
"""

from __future__ import annotations

import json
import re
import typing as t

from ..errors import nearest
from . import shape
from .free import Json

#: Characters of a value that a message shows.
SHOWN = 60

_PLAIN_KEY = re.compile(r"[A-Za-z_][\w-]*")


class Search:
    """For the first fault.

    :param fault: what there is against data of a type; ``None`` if nothing.
    :param document: nobody but the collection writes such data: a key that is not known is one of a newer version.
    """

    _NEWER = "a newer version of immutable.compose wrote it; install that version here"
    _OLDER = "an older version of immutable.compose wrote it; let this one make it anew"

    def __init__(self, fault: t.Callable[[t.Any, t.Any], str | None], *, document: bool) -> None:
        self._fault = fault
        self._document = document
        #: Whether the fault that was found is that a newer version wrote the data.
        self.newer = False

    def problem(self, hint: t.Any, data: t.Any, where: str, *, secret: bool = False) -> str | None:
        """A sentence; ``None`` if all fits.

        :param where: path of the data.
        :param secret: show no value.
        """
        fault = self._fault(hint, data)
        if not fault:
            return None
        found = next(self._inside(hint, data, where, secret), None)
        if found:
            return found
        # With parts that all fit, only the library knows better.
        return f"{where}: {fault}" if shape.has_parts(hint, data) else _unexpected(hint, data, where, secret)

    def _inside(self, hint: t.Any, data: t.Any, where: str, secret: bool) -> t.Iterator[str]:
        """What is wrong with the parts of the data, if it is of the right kind."""
        if shape.is_union(hint):
            for each in shape.inner_types(hint):
                if shape.has_parts(each, data):
                    yield from self._inside(each, data, where, secret)
        elif not shape.has_parts(hint, data):
            return
        elif shape.is_object(hint):
            yield from self._object(hint, data, where, secret)
        else:
            inner = next(iter(shape.inner_types(hint)), hint)  # in free data all is free
            for place, value in _parts(data, where):
                found = self.problem(inner, value, place, secret=secret)
                if found:
                    yield found

    def _object(self, type_: t.Any, data: dict[str, t.Any], where: str, secret: bool) -> t.Iterator[str]:
        known = shape.fields(type_)
        schema = shape.schema_of(type_)
        if schema and data.get("schema") != schema:
            yield self._other_version(data, schema, where)
        if not shape.ignores_unknown(type_):
            for key in (key for key in data if key not in known):
                self.newer = self._document
                hint = f": {self._NEWER}" if self._document else nearest(str(key), known)
                yield f"{where} has the unknown key {_short(repr(key))}{hint}"
        for name, field in known.items():
            if name in data:
                found = self.problem(field.hint, data[name], _below(where, name), secret=secret or field.secret)
                if found:
                    yield found
            elif field.required:
                yield f"{_below(where, name)} is missing, expected {expected(field.hint)}"

    def _other_version(self, data: t.Mapping[str, t.Any], schema: str, where: str) -> str:
        if "schema" not in data:
            return f"{where}.schema is missing, expected {json.dumps(schema)}"
        message = f"{where}.schema is {_shown(data['schema'])}, expected {json.dumps(schema)}"
        ours, theirs = shape.SCHEMA.fullmatch(schema), shape.SCHEMA.fullmatch(str(data["schema"]))
        if ours is None or theirs is None or ours["name"] != theirs["name"]:
            return message
        # Of any length, which int() does not take.
        newer, older = (each["version"].lstrip("0") for each in (theirs, ours))
        self.newer = (len(newer), newer) > (len(older), older)
        return f"{message}: {self._NEWER if self.newer else self._OLDER}"


def _parts(data: t.Any, where: str) -> t.Iterator[tuple[str, t.Any]]:
    if isinstance(data, dict):
        return ((_below(where, key), value) for key, value in data.items())
    return ((f"{where}[{index}]", item) for index, item in enumerate(data))


def _below(where: str, key: t.Any) -> str:
    return (
        f"{where}.{_short(str(key))}" if _PLAIN_KEY.fullmatch(str(key)) else f"{where}[{_short(json.dumps(str(key)))}]"
    )


def _unexpected(hint: t.Any, data: t.Any, where: str, secret: bool) -> str:
    # A fraction is a number to everybody but a computer.
    what = "a whole number" if hint is int and isinstance(data, float) else expected(hint)
    return f"{where} is {'a secret (not shown)' if secret else _shown(data)}, expected {what}"


def _shown(data: t.Any) -> str:
    # What is in an object or a list may be a secret that stands in the wrong place.
    if isinstance(data, dict):
        return "an object"
    if isinstance(data, (list, tuple)):
        return "a list"
    return _short(json.dumps(data, ensure_ascii=False, default=repr))


def _short(text: str) -> str:
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def expected(hint: t.Any) -> str:
    """A type in words."""
    if shape.is_union(hint) or shape.is_literal(hint):
        words = [expected(each) if shape.is_union(hint) else json.dumps(each) for each in t.get_args(hint)]
        words.sort(key="null".__eq__)
        return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
    if shape.is_list(hint):
        return f"a list of {_PLURALS.get(shape.inner_types(hint)[0], 'objects')}"
    if shape.is_mapping(hint) or shape.is_object(hint):
        return "an object"
    return _WORDS[hint]


_WORDS: t.Mapping[t.Any, str] = {
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
    Json: "plain data",
}
_PLURALS: t.Mapping[t.Any, str] = {str: "strings", int: "numbers", float: "numbers", Json: "values"}
