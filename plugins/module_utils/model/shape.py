# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a type looks like from outside: its keys and their kinds. PRIVATE to the collection.

The library that converts does not refuse unknown keys of dataclasses, so that is asked here, by functions that are made
once for each type.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing as t
from functools import cache

#: ``immutable.compose/NAME/VERSION``.
SCHEMA = re.compile(r"(?P<name>.+/(?P<word>[^/]+))/(?P<version>\d+)")
_UNIONS = (t.Union, getattr(types, "UnionType", t.Union))

#: What JSON has besides objects and lists. Ansible's own kinds of strings are not among it.
_SIMPLE = frozenset({type(None), bool, int, float, str})

#: Whether data has only keys that are known. Data of another kind than the type is for somebody else to refuse.
Recogniser = t.Callable[[t.Any], bool]


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a type."""

    hint: t.Any
    required: bool
    secret: bool
    #: As JSON has it, where it need not be told.
    default: t.Any


@cache
def fields(type_: t.Hashable) -> t.Mapping[str, Field]:
    """Of a dataclass, by name."""
    hints = t.get_type_hints(t.cast(t.Any, type_), include_extras=True)
    return {
        field.name: Field(
            hints[field.name],
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
            bool(field.metadata.get("secret")),
            dataclasses.MISSING if field.metadata.get("always") else _default(field),
        )
        for field in dataclasses.fields(t.cast(t.Any, type_))
    }


def _default(field: dataclasses.Field[t.Any]) -> t.Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return list(field.default) if isinstance(field.default, tuple) else field.default


def schema_of(type_: t.Any) -> str | None:
    """``immutable.compose/NAME/VERSION`` of a document; ``None`` for what is only a part of one."""
    field = fields(type_).get("schema") if is_object(type_) else None
    return t.get_args(field.hint)[0] if field and is_literal(field.hint) else None


def ignores_unknown(type_: t.Any) -> bool:
    """Whether keys that no field has are left alone."""
    return bool(getattr(type_, "ignores_unknown", False))


def name_of(type_: t.Any) -> str:
    """The word for a type at the beginning of a path."""
    match = SCHEMA.fullmatch(schema_of(type_) or "")
    return match["word"] if match else type_.__name__.lower()


def recogniser(hint: t.Any) -> Recogniser | None:
    """Tells data whose keys all have fields; ``None`` where there is nothing to tell."""
    if is_free(hint):
        return _is_json
    if is_object(hint):
        return _object_recogniser(hint)
    inner = [found for found in (recogniser(argument) for argument in inner_types(hint)) if found]
    if not inner:
        return None
    known = inner[0] if len(inner) == 1 else lambda data: any(each(data) for each in inner)
    if is_union(hint):
        return known
    if is_mapping(hint):
        return lambda data: not isinstance(data, dict) or all(map(known, data.values()))
    return lambda data: not isinstance(data, (list, tuple)) or all(map(known, data))


@cache
def _object_recogniser(type_: t.Hashable) -> Recogniser:
    names = frozenset(fields(type_))
    schema = schema_of(type_)
    open_ = ignores_unknown(type_)
    inner = [(name, known) for name, field in fields(type_).items() if (known := recogniser(field.hint))]

    def recognise(data: t.Any) -> bool:
        if not isinstance(data, dict):
            return True
        if not (open_ or data.keys() <= names) or (schema and data.get("schema") != schema):
            return False
        return all(known(data[name]) for name, known in inner if name in data)

    return recognise


def _is_json(data: t.Any) -> bool:
    if type(data) in _SIMPLE:
        return True
    if isinstance(data, dict):
        return all(type(key) in _SIMPLE and isinstance(key, str) for key in data) and all(map(_is_json, data.values()))
    return isinstance(data, (list, tuple)) and all(map(_is_json, data))


def is_free(hint: t.Any) -> bool:
    """Whether any JSON will do: ``Json``, of free.py."""
    return t.get_origin(hint) is t.Annotated


def is_object(hint: t.Any) -> bool:
    return dataclasses.is_dataclass(hint)


def is_union(hint: t.Any) -> bool:
    return t.get_origin(hint) in _UNIONS


def is_literal(hint: t.Any) -> bool:
    return t.get_origin(hint) is t.Literal


def is_mapping(hint: t.Any) -> bool:
    origin = t.get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, t.Mapping)


def is_list(hint: t.Any) -> bool:
    origin = t.get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, t.Sequence)


def has_parts(hint: t.Any, data: t.Any) -> bool:
    """Whether data has parts, and the type parts of that kind."""
    if is_union(hint):
        return any(has_parts(each, data) for each in inner_types(hint))
    if isinstance(data, dict):
        return is_mapping(hint) or is_object(hint) or is_free(hint)
    return isinstance(data, list) and (is_list(hint) or is_free(hint))


def inner_types(hint: t.Any) -> tuple[t.Any, ...]:
    """Types of the values, items or alternatives."""
    if is_free(hint):
        return ()
    arguments = tuple(argument for argument in t.get_args(hint) if argument is not Ellipsis)
    return arguments[-1:] if is_mapping(hint) else arguments


def upgraded(type_: t.Any, data: t.Any) -> t.Any:
    """Data of an older version of a document as that of the current one, as far as the type has migrations."""
    migrations: t.Mapping[str, t.Callable[[dict[str, t.Any]], dict[str, t.Any]]] = getattr(type_, "migrations", {})
    while isinstance(data, dict) and str(data.get("schema")) in migrations:
        data = migrations[data["schema"]](data)
    return data


def shortener(hint: t.Any) -> t.Callable[[t.Any], t.Any] | None:
    """Takes what need not be told out of encoded data; ``None`` where there is nothing to take."""
    if is_object(hint):
        return _object_shortener(hint)
    if is_union(hint):
        one = next(filter(None, map(shortener, inner_types(hint))), None)
        return one and (lambda data: None if data is None else one(data))
    arguments = inner_types(hint)
    shorten = shortener(arguments[0]) if arguments else None
    if shorten is None:
        return None
    if is_mapping(hint):
        return lambda data: {key: shorten(value) for key, value in data.items()}
    return lambda data: [shorten(item) for item in data]


@cache
def _object_shortener(type_: t.Hashable) -> t.Callable[[t.Any], t.Any] | None:
    brief = bool(getattr(type_, "brief", False))
    defaults = {name: field.default for name, field in fields(type_).items() if brief}
    inner = {name: found for name, field in fields(type_).items() if (found := shortener(field.hint))}
    if not brief and not inner:
        return None

    def shorten(data: dict[str, t.Any]) -> t.Any:
        told = {name: value for name, value in data.items() if not brief or value != defaults[name]}
        for name in inner.keys() & told.keys():
            told[name] = inner[name](told[name])
        return told

    return shorten


def plain(data: t.Any) -> t.Any:
    """Data without the subclasses by which Ansible marks where values come from. Encrypted values stay as they are."""
    if type(data) in _SIMPLE:
        return data
    for simple in (str, int, float):
        if isinstance(data, simple):
            return simple(data)
    if isinstance(data, t.Mapping):
        return {plain(key): plain(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [plain(item) for item in data]
    return data


def legible(data: t.Any) -> t.Any:
    """Plain data, with what is no text of Unicode escaped."""
    if isinstance(data, str):
        return data.encode("utf-8", "backslashreplace").decode()
    if isinstance(data, dict):
        return {legible(key): legible(value) for key, value in data.items()}
    return [legible(item) for item in data] if isinstance(data, (list, tuple)) else data


def plain_or_refuse(data: t.Any) -> t.Any:
    """:func:`plain`. :raises TypeError: there is nothing in JSON for it."""
    if isinstance(data, (str, int, float, t.Mapping, list, tuple)):
        return plain(data)
    raise TypeError(f"{type(data).__name__} cannot be written as JSON")


@cache
def _has_secrets(hint: t.Hashable) -> bool:
    if is_object(hint):
        return any(field.secret or _has_secrets(field.hint) for field in fields(hint).values())
    return any(map(_has_secrets, inner_types(hint)))


def without_secrets(hint: t.Any, data: t.Any) -> t.Any:
    """Encoded data of a type, without the fields that are marked secret."""
    if not _has_secrets(hint):
        return data
    if is_union(hint):
        hint = next((each for each in inner_types(hint) if has_parts(each, data)), hint)
    if is_object(hint) and isinstance(data, dict):
        return {
            name: without_secrets(field.hint, data[name]) for name, field in fields(hint).items() if not field.secret
        }
    if is_mapping(hint) and isinstance(data, dict):
        return {key: without_secrets(inner_types(hint)[0], value) for key, value in data.items()}
    if is_list(hint) and isinstance(data, list):
        return [without_secrets(inner_types(hint)[0], item) for item in data]
    return data
