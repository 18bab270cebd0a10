# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Between the types of this room and plain JSON data. PRIVATE to the collection.

A type is a frozen dataclass. What it may say besides its fields:

``schema``
    a field of it, of type ``Literal["immutable.compose/NAME/VERSION"]``: it is a document, and its version is checked.
``migrations``
    class variable: schema of an older version → function that makes its data into data of a newer one.
``ignores_unknown``
    class variable, true where keys without a field are left alone; all others are refused.
``brief``
    class variable, true where a field is left out as long as it is at its default.
``field(metadata={"always": True})``
    but not this one.
``field(metadata={"secret": True})``
    the value, and what is in it, is in no error message, and :func:`encode` may leave it out.
"""

from __future__ import annotations

import os
import threading
import typing as t
from contextlib import contextmanager
from functools import cache, partial

from ..errors import InputError
from ..files import read_json, write_json
from ..libraries import missing_library
from . import shape
from .explain import Search

T = t.TypeVar("T")

_learning = threading.Lock()


class DamagedError(InputError):
    """A file is no document at all: it was cut short, for example."""


class NewerError(InputError):
    """A newer version of the collection wrote it. The message says that this version is to be installed."""


def decode(type_: type[T], data: t.Any, where: str, *, lenient: bool = False) -> T:
    """Data as an object of the type: no coercion, no unknown key.

    :param data: what a JSON parser returns, or Ansible's own kinds of it.
    :param where: the word that error messages begin the path with, such as ``deployment``.
    :param lenient: numbers and truth may be written as text, and truth as 0 and 1, as programs in Perl have it.
    :raises NewerError: it is a document of a newer version.
    :raises InputError: ``deployment.nodes[3].index is "x", expected a number``.
    """
    try:
        if _is_known(t.cast(t.Hashable, type_))(data):
            try:
                return t.cast(T, _convert(data, type_, lenient))
            except (_invalid(), UnicodeError):
                pass  # why is asked below, where it may take time
        current = shape.upgraded(type_, shape.plain(data))
        search = Search(partial(_fault, lenient=lenient), document=bool(shape.schema_of(type_)))
        problem = search.problem(type_, current, where)
        if problem:
            raise (NewerError if search.newer else InputError)(problem)
        return t.cast(T, _convert(current, type_, lenient))
    except RecursionError:
        raise InputError(f"{where} is nested too deeply") from None


def encode(value: t.Any, *, secrets: bool = True) -> t.Any:
    """An object of a type as plain data.

    :param secrets: ``False`` leaves out the fields that are marked secret.
    """
    json = library().json
    try:
        text = json.encode(value, enc_hook=shape.plain_or_refuse)
    except UnicodeEncodeError:  # half a character, in what a tool or a node said
        text = json.encode(shape.legible(library().to_builtins(value, enc_hook=shape.plain_or_refuse)))
    data = json.decode(text)
    if not secrets:
        data = shape.without_secrets(type(value), data)
    shorten = shape.shortener(type(value))
    return shorten(data) if shorten else data


def read(type_: type[T], path: str, where: str = "", *, remedy: str = "") -> T:
    """A document from a file.

    :param where: as for :func:`decode`; by default the document's own name.
    :param remedy: sentences on what to do with a file that cannot be read. What a newer version wrote stays as it is.
    :raises FileNotFoundError: there is none.
    :raises OSError: this user cannot get at it.
    :raises DamagedError: it is no JSON.
    :raises NewerError: a newer version wrote it.
    :raises InputError: names the file, and what in it is wrong.
    """
    then = f". {remedy}" if remedy else ""
    try:
        data = read_json(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):  # nothing is wrong with the document
        raise
    except (OSError, RecursionError, ValueError) as error:
        schema = shape.schema_of(type_)
        what = f"a JSON object of schema {schema!r}" if schema else "JSON"
        raise DamagedError(f"{path}: expected {what}, found no JSON ({_why(error, path)}){then}") from None
    try:
        return decode(type_, data, where or shape.name_of(type_))
    except NewerError as error:
        raise NewerError(f"{path}: {error.message}") from None
    except InputError as error:
        raise InputError(f"{path}: {error.message}{then}") from None


@contextmanager
def forgiving() -> t.Iterator[None]:
    """What is damaged ends the body, and no more; what a newer version wrote is refused all the same.

    :raises NewerError: it may say what this version cannot know of.
    """
    try:
        yield
    except NewerError:
        raise
    except InputError:
        pass


def write(path: str, value: t.Any, mode: int = 0o600) -> None:
    """An object of a type as a file, in one step."""
    write_json(path, encode(value), mode)


def _fault(type_: t.Any, data: t.Any, lenient: bool) -> str | None:
    """What there is against it; ``None`` if nothing."""
    if not _is_known(type_)(data):
        return "has a key that is not a string" if shape.is_free(type_) else "has keys that are not known"
    try:
        _convert(data, type_, lenient)
    except _invalid() as error:
        return str(error)
    except UnicodeError:  # half a character, compared with a word
        return "no text"
    return None


@cache
def _is_known(type_: t.Any) -> t.Callable[[t.Any], bool]:
    return shape.recogniser(type_) or (lambda data: True)


def _convert(data: t.Any, type_: t.Any, lenient: bool) -> t.Any:
    _learn(type_)
    return library().convert(data, type_, strict=not lenient)


@cache
def _invalid() -> type[Exception]:
    return t.cast("type[Exception]", library().ValidationError)


@cache
def _learn(type_: t.Any) -> None:
    """Have the library look at a type before it is used: what it knows of it, and of those in it, it keeps.

    One at a time: a thread that finds what another one is still at work on crashes, and takes the process with it.
    """
    with _learning:
        library().json.Decoder(type_)


def library() -> t.Any:
    """The library behind this. :raises ComposeError: it is not installed for this interpreter."""
    try:
        import msgspec  # here, so that what only imports this needs no library
    except ImportError:
        raise missing_library("msgspec", what="reading and writing documents") from None
    return msgspec


def _why(error: Exception, path: str) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return "it is empty" if os.path.getsize(path) == 0 else str(error)
