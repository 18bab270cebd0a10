# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployment files that say something else for one run. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from . import values
from .values import Unchecked

#: Extra variable: deployment → keys of its file, as they are to be for this run.
CHANGES = "compose_changes"
#: What of a role is gone when a key says which nodes it has: there are as many as a new count of names that stay.
_GONE = {"count": ("count",), "names": ("count", "names")}


def changes_of(variables: Unchecked, name: str) -> dict[str, object]:
    """What a run changes of the file of a deployment.

    :param variables: extra variables.
    :param name: of the deployment, as its file has it.
    :raises InputError: it is no mapping of mappings.
    """
    return values.mapping(values.mapping(variables.get(CHANGES), CHANGES).get(name), f"{CHANGES}.{name}")


def with_changes(content: Unchecked, changes: Unchecked) -> dict[str, object]:
    """A deployment file as it is to be: mappings are put together key by key, all else is replaced."""
    merged = t.cast("dict[str, object]", _merged(content, changes))
    written, roles = content.get("roles"), changes.get("roles")
    if isinstance(written, t.Mapping) and isinstance(roles, t.Mapping):
        merged["roles"] = {**written, **{role: _role(written.get(role), value) for role, value in roles.items()}}
    return merged


def _merged(old: object, new: object) -> object:
    if isinstance(old, t.Mapping) and isinstance(new, t.Mapping):
        return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
    return new


def _role(old: object, new: object) -> object:
    """Another count, or other names, leave all else that is said of a role as it is."""
    if not isinstance(old, t.Mapping):
        return new
    given = new if isinstance(new, t.Mapping) else {"names" if isinstance(new, (list, tuple)) else "count": new}
    gone = {each for key, those in _GONE.items() if key in given for each in those}
    return _merged({key: value for key, value in old.items() if key not in gone}, given)
