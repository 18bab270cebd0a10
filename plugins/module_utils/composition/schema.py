# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``schema`` field that names the version of every format. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from contextlib import contextmanager

from ..errors import InputError
from ..files import read_json


class DamagedError(InputError):
    """A file is no document at all: it was cut short, for example."""


def validate(data: t.Any, schema: str, where: str) -> dict[str, t.Any]:
    """The fields of a document, without ``schema``.

    :param schema: the only accepted value of the field ``schema``.
    :param where: what is being read, for the error message.
    :raises InputError: no mapping, or another schema.
    """
    if not isinstance(data, t.Mapping):
        raise InputError(f"{where}: expected a JSON object of schema {schema!r}, found {type(data).__name__}")
    if data.get("schema") != schema:
        raise InputError(f"{where}: schema is {data.get('schema')!r}, expected {schema!r}")
    return {key: value for key, value in data.items() if key != "schema"}


def read_document(path: str, schema: str) -> dict[str, t.Any]:
    """:func:`validate` of a file.

    :raises FileNotFoundError: there is none.
    :raises DamagedError: it is no JSON.
    :raises InputError: no mapping, or another schema. Both name the file.
    """
    try:
        data = read_json(path)
    except ValueError as error:
        raise DamagedError(f"{path}: expected a JSON object of schema {schema!r}, found no JSON ({error})") from None
    return validate(data, schema, path)


@contextmanager
def reading(schema: str, where: str) -> t.Iterator[None]:
    """What fails when a document is made into objects (a field too many, too few) becomes an :class:`InputError`."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"no field {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{where}: not of schema {schema!r}: {what}") from error
