# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's own tasks that a deployment file names. PRIVATE to the collection."""

from __future__ import annotations

import os
from dataclasses import fields

from ..errors import InputError
from ..model.hooks import Hooks
from . import values

HOOKS = tuple(field.name for field in fields(Hooks))


def parse_hooks(value: object, path: str) -> Hooks:
    """Paths become absolute. :raises InputError: another hook, or no such file.

    :param path: of the deployment file.
    """
    where = f"{path}: hooks"
    given = values.mapping(value, where)
    values.known(given, HOOKS, where, "hook")
    files = {}
    for name, word in given.items():
        file = values.text(word, f"{where}.{name}")
        files[name] = os.path.abspath(os.path.join(os.path.dirname(path), file))
        if not os.path.isfile(files[name]):
            raise InputError(f"{where}.{name} is {file!r}, expected a file with tasks: there is no {files[name]}")
    return Hooks(**files)
