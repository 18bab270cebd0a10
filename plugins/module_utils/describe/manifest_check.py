# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a ``composition.json`` says what an evaluation could have said. PRIVATE to the collection.

Anybody may have written it, and hosts that read it have no library for schemas: the codec has looked at the types.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import asdict

from ..errors import shown
from ..model.composition import Composition, Role
from .follow import follow_errors
from .names import is_host_name, is_role_name, label_of
from .reserved import not_a_file, not_a_mount
from .role_schema import A_ROLE_NAME, A_VOLUME_NAME, MODE_WORD, PATH, WORD_WITHOUT_SPACES
from .units import PATTERN
from .values import MOST

#: The base name of a path in a store: it names files, too.
_IDENTITY = r"[0-9A-Za-z+_?=-][0-9A-Za-z+._?=-]{0,210}"


def manifest_errors(composition: Composition) -> list[str]:
    """What is wrong with its attributes, each with its path; empty if nothing is."""
    errors = []
    for name, role in composition.roles.items():
        if not is_role_name(name) or role.name != name:
            errors.append(f"roles.{name}: {A_ROLE_NAME}")
        errors += [f"roles.{name}.{error}" for error in _role_errors(role)]
        errors += follow_errors(name, {"follow": {path: asdict(each) for path, each in role.follow.items()}})
    for name, wanted in composition.distribution.items():
        where = f"distribution.{name}"
        if isinstance(wanted, int) and not 0 <= wanted <= MOST:
            errors.append(f"{where} is {wanted}, expected a count (0 to {MOST})")
        elif isinstance(wanted, list):
            errors += [
                f"{where}: {shown(host)} gives no host name" for host in wanted if not is_host_name(label_of(host))
            ]
    return errors


def _role_errors(role: Role) -> t.Iterator[str]:
    if role.identity is not None and not re.fullmatch(_IDENTITY, role.identity):
        yield f"identity is {role.identity!r}, expected the name of a system in a store"
    yield from (f"ports has {port}, expected 1 to 65535" for port in role.ports if not 0 < port < 65536)
    yield from (
        f"may_fail has {unit!r}, expected names of units" for unit in role.may_fail if not re.fullmatch(PATTERN, unit)
    )
    for path in role.secret_files:
        if not re.fullmatch(PATH, path):
            yield f"secret_files has {path!r}, expected a path"
        elif refused := not_a_file(path):
            yield f"secret_files.{path}: {refused}"
    for name, volume in role.volumes.items():
        where = f"volumes.{name}"
        if not re.fullmatch(A_VOLUME_NAME, name):
            yield f"{where}: not a valid name here"
        if not re.fullmatch(PATH, volume.mount):
            yield f"{where}.mount is {volume.mount!r}, expected a path"
        elif refused := not_a_mount(volume.mount):
            yield f"{where}.mount: {volume.mount} {refused}"
        if volume.size < 1:
            yield f"{where}.size is {volume.size}, expected MiB, 1 or more"
        for key, pattern in (("user", WORD_WITHOUT_SPACES), ("group", WORD_WITHOUT_SPACES), ("mode", MODE_WORD)):
            if not re.fullmatch(pattern, getattr(volume, key)):
                yield f"{where}.{key} is {getattr(volume, key)!r}, expected a {key}"
