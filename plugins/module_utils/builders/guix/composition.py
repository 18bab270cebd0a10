# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compositions of Guix roles: ``composition.yml`` or ``composition.scm``, and the files that they name. PRIVATE."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass

from ...describe.attributes import Attributes, ScriptFile, roles_of
from ...describe.names import is_host_name, label_of
from ...describe.role_schema import check_composition
from ...errors import InputError
from ...libraries import missing_library
from ...model.composition import Role

YAML_FILE, SCHEME_FILE = "composition.yml", "composition.scm"


@dataclass(frozen=True)
class GuixComposition:
    """What the file says, found valid."""

    path: str
    name: str
    attributes: Attributes
    test_script: str

    @property
    def roles(self) -> dict[str, Role]:
        """The roles, as far as they are known without evaluating operating systems."""
        return roles_of(self.attributes)

    def file(self, role: str) -> str:
        """Absolute path of the operating-system file of a role."""
        return os.path.join(self.path, self.attributes["roles"][role]["file"])


def read_composition(directory: str, evaluate: t.Callable[[str], t.Any]) -> GuixComposition:
    """The composition in a directory.

    :param evaluate: gives the value of a ``composition.scm``.
    :raises InputError: no composition, or one that is not as it should be: file, attribute, what was expected.
    """
    path = os.path.abspath(directory)
    there = [name for name in (YAML_FILE, SCHEME_FILE) if os.path.isfile(os.path.join(path, name))]
    if len(there) != 1:
        found = "both" if there else "neither of them"
        raise InputError(
            f"{path}: one of {YAML_FILE} and {SCHEME_FILE} makes a directory a composition of the builder 'guix'; "
            f"there is {found}"
        )
    name = label_of(os.path.basename(path))
    if not is_host_name(name):
        raise InputError(f"{path}: the directory's name names the images; use letters, digits and dashes, at most 63")
    file = os.path.join(path, there[0])
    said = _read_yaml(file) if there[0] == YAML_FILE else evaluate(file)
    if not isinstance(said, dict):
        raise InputError(f"{file}: expected a mapping with the key 'roles'")
    attributes = check_composition(said, file, "guix")
    for role, fields in attributes["roles"].items():
        if not os.path.isfile(os.path.join(path, fields["file"])):
            raise InputError(f"{file}: roles.{role}.file: there is no file {fields['file']!r} in {path}")
    return GuixComposition(path, name, attributes, _test_script(file, attributes.get("testScript", "")))


def _read_yaml(file: str) -> t.Any:
    try:
        import yaml  # here, because most steps read none
    except ImportError:
        raise missing_library("yaml", what="a composition for Guix") from None
    with open(file, encoding="utf-8") as stream:
        try:
            return yaml.safe_load(stream)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise InputError(f"{file}: no valid YAML: {error}") from None


def _test_script(file: str, given: str | ScriptFile) -> str:
    if isinstance(given, str):
        return given
    directory = os.path.dirname(file)
    path = os.path.join(directory, given["file"])
    if not os.path.realpath(path).startswith(f"{os.path.realpath(directory)}/"):
        raise InputError(f"{file}: testScript.file: {given['file']!r} is not below {directory}")
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except OSError as error:
        raise InputError(f"{file}: testScript.file: {path} cannot be read: {error.strerror}") from None
