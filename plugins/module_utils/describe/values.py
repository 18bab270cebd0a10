# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of single values in files that users write. PRIVATE to the collection.

Each takes the value and ``where`` it was found (file and key), gives the value in the form the model wants, and raises
:class:`InputError` with where, value and what was expected.
"""

from __future__ import annotations

import datetime
import re
import typing as t

from ..errors import InputError, nearest, shown
from ..model.composition import Distribution
from ..model.free import Json
from .names import is_host_name, is_node_name, label_of

A_NAME = "lower-case letters, digits and inner dashes, at most 63 (RFC 1123)"

#: What users write, or Ansible keeps, by name: nothing of it is certain before one of these checks.
Unchecked = t.Mapping[str, object]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PUBLIC_KEY = re.compile(r"(ssh-|ecdsa-|sk-)[A-Za-z0-9@.-]+ [A-Za-z0-9+/]+=*( .*)?")


def host_name(value: object, where: str) -> str:
    """One host name label."""
    if not isinstance(value, str) or not is_host_name(value):
        near = label_of(value) if isinstance(value, str) else ""
        hint = f"; for example {near!r}" if is_host_name(near) else ""
        raise InputError(f"{where}: invalid name {shown(value)}, expected {A_NAME}{hint}")
    return value


def labels_of(names: object, where: str) -> list[str]:
    """Host name labels for names of machines that were not given as such: by the rule of :func:`label_of`."""
    if not isinstance(names, (list, tuple)):
        raise InputError(f"{where} is {shown(names)}, expected a list of names")
    labels = []
    for name in names:
        label = label_of(name) if isinstance(name, str) else ""
        if not is_host_name(label):
            raise InputError(f"{where}: {shown(name)} gives no name for a node, expected {A_NAME}")
        labels.append(label)
    return labels


def domain(value: object, where: str) -> str:
    """A DNS domain, lower case; nothing is none."""
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or not is_node_name(value) or len(value) > 189:
        raise InputError(f"{where} is {shown(value)}, expected a domain such as 'cluster.example.org', in lower case")
    return value


def host_names(value: object, where: str) -> list[str]:
    """A list of host name labels."""
    if not isinstance(value, (list, tuple)):
        raise InputError(f"{where} is {shown(value)}, expected a list of host names")
    return [host_name(name, where) for name in value]


#: Nodes of a deployment: a hundred times what was ever tried, and still no more than a host's memory holds.
MOST = 100_000


def count(value: object, where: str) -> int | None:
    """How many machines; as NixOS Compose has it, the number may be a string."""
    if isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value):
        value = int(value)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST:
        return value
    long = isinstance(value, int) and value.bit_length() > 64 or isinstance(value, str) and len(value) > 64
    raise InputError(f"{where} is {'too long' if long else repr(value)}, expected a count (0 to {MOST})")


def distribution(value: object, where: str) -> Distribution:
    """How many, or which, machines: of what says so beside the deployment file."""
    return labels_of(value, where) if isinstance(value, (list, tuple)) else count(value, where)


def mapping(value: object, where: str) -> dict[str, object]:
    """A mapping with strings as keys; nothing is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, t.Mapping):
        raise InputError(f"{where} is {shown(value)}, expected a mapping")
    for key in value:
        if not isinstance(key, str):
            raise InputError(f"{where} has the key {shown(key)}, expected a string")
    return dict(value)


def text(value: object, where: str) -> str:
    """A string; nothing is an empty one."""
    if value is not None and not isinstance(value, str):
        raise InputError(f"{where} is {shown(value)}, expected a string")
    return value or ""


def known(given: t.Iterable[str], valid: t.Collection[str], where: str, what: str) -> None:
    """Refuse words that are not among the valid ones."""
    for key in given:
        if key not in valid:
            raise InputError(f"{where}: {shown(key)} is not a {what}{nearest(key, valid)}")


def parameters(value: object, where: str) -> dict[str, Json]:
    """A mapping of what JSON can carry: neither dates nor encrypted values (these belong to the secrets)."""
    try:
        return {key: _json(item, f"{where}.{key}") for key, item in mapping(value, where).items()}
    except RecursionError:
        raise InputError(f"{where} is nested too deeply") from None


def _json(value: object, where: str) -> Json:
    if isinstance(value, t.Mapping):
        return {key: _json(item, f"{where}.{key}") for key, item in mapping(value, where).items()}
    if isinstance(value, list):
        return [_json(item, f"{where}[{position}]") for position, item in enumerate(value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, datetime.date):
        raise InputError(f"{where} is the date {value}, expected plain data: in quotes it is a string")
    raise InputError(f"{where} is of type {type(value).__name__}, expected plain data (encrypted values go to secrets)")


def variables(value: object, where: str) -> dict[str, object]:
    """A mapping of Ansible variables."""
    for key in mapping(value, where):
        if not _VARIABLE.fullmatch(key):
            raise InputError(
                f"{where}: {shown(key)} is not a valid variable name, expected letters, digits and underscores"
            )
    return mapping(value, where)


def secrets(value: object, where: str) -> dict[str, str]:
    """A mapping of strings, or of Ansible's encrypted strings, which are left as they are."""
    for key, secret in mapping(value, where).items():
        if secret is None or isinstance(secret, (bool, int, float, list, t.Mapping)):
            raise InputError(f"{where}.{key} is of type {type(secret).__name__}, expected a string")
    # What is encrypted is a string to all who may read it.
    return t.cast("dict[str, str]", mapping(value, where))


def at_least_one(value: object, where: str) -> int:
    """A whole number from 1 on."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{where} is {shown(value)}, expected a whole number, 1 or more")
    return value


def whole(value: object, where: str) -> int:
    """A whole number from 0 on."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"{where} is {shown(value)}, expected a whole number, 0 or more")
    return value


def truth(value: t.Any, where: str) -> bool:
    """:raises InputError: anything but true or false."""
    if not isinstance(value, bool):
        raise InputError(f"{where} is {shown(value)}, expected true or false")
    return value


def one_of(value: t.Any, choices: t.Sequence[str], where: str) -> str:
    """One of a few words."""
    if value not in choices:
        raise InputError(f"{where} is {shown(value)}, expected one of {', '.join(choices)}")
    return str(value)


def public_keys(value: object, where: str) -> tuple[str, ...]:
    """OpenSSH public keys."""
    if value is not None and not isinstance(value, (list, tuple)):
        raise InputError(f"{where} is {shown(value)}, expected a list of OpenSSH public keys")
    for key in value or ():
        if not isinstance(key, str) or not _PUBLIC_KEY.fullmatch(key):
            raise InputError(f"{where} has {str(key)[:20]!r}…, expected OpenSSH public keys, each in one line")
    return tuple(value or ())
