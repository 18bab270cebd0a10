# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What YAML has for the options of a deployment file, before Ansible makes other types of it.

PRIVATE to the collection.
"""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping

from ansible_collections.immutable.compose.plugins.module_utils.describe import values
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError, shown
from ansible_collections.immutable.compose.plugins.module_utils.model.shape import plain

#: Type of an option → what YAML may have for it, and what people are told to write.
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str, int, float), "a text"),
    "int": ((int,), "a whole number"),
    "list": ((list, str), "a list"),
    "dict": ((Mapping,), "a mapping"),
    "bool": ((bool,), "true or false"),
    "raw": ((str, Mapping), "a name, or a mapping with a name and options"),
}


def checked(content: object, plugin: str, kinds: t.Mapping[str, str], path: str) -> values.Unchecked:
    """What a deployment file says, each value of the type of its option.

    :param kinds: the options of the inventory plugin, and the type of each, as its documentation has them.
    :raises InputError: what the file has is no mapping, a key is unknown, or a value is of another type.
    """
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: expected a mapping, with 'plugin: {plugin}'")
    values.known(content, kinds, path, "key of a deployment file")
    return {key: _typed(key, value, kinds[key], path) for key, value in content.items()}


def _typed(key: str, value: object, kind: str, path: str) -> object:
    kinds, expected = _KINDS[kind]
    if key == "sealed" and value is False:  # what YAML makes of the word
        return "off"
    if isinstance(value, bool) and kind != "bool":  # which would pass for a number or a string
        raise InputError(f"{path}: {key} is {shown(value)}, as YAML reads yes, no, on and off; expected {expected}")
    digits = isinstance(value, str) and bool(re.fullmatch("[0-9]{1,18}", value)) and int in kinds
    if value is not None and not digits and not isinstance(value, kinds):
        raise InputError(f"{path}: {key} is {shown(plain(value))}, expected {expected}")
    if isinstance(value, str) and "\0" in value:  # which no path and no name may have
        raise InputError(f"{path}: {key} is {shown(value)}, expected {expected}")
    return value
