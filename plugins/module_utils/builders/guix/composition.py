# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compositions of Guix roles: ``composition.yml`` or ``composition.scm``, and the files that they name. PRIVATE."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass

from ...describe import values
from ...describe.attributes import Attributes, RoleAttributes, ScriptFile, roles_of
from ...describe.names import is_host_name, label_of
from ...describe.role_schema import check_composition
from ...errors import InputError, nearest
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
    #: File for ``guix deploy`` that has the roles as machines; empty if there is none.
    machines: str = ""

    @property
    def roles(self) -> dict[str, Role]:
        """The roles, as far as they are known without evaluating operating systems."""
        return roles_of(self.attributes)

    def system(self, role: str) -> str:
        """The operating system of a role, or the name of its file, as an expression in Scheme."""
        said = self.attributes["roles"][role]
        if self.machines:
            return f"((@ (compose machines) system-of) {scheme(self.machines)} {scheme(role)})"
        if "module" in said:
            return f"((@ (compose load) variable-of) '{said['module']} '{said['variable']})"
        file = scheme(os.path.join(self.path, said["file"]))
        return f"((@ (compose role) system-in) {file} '{said['variable']})" if "variable" in said else file

    def where(self, role: str) -> str:
        """Where a role has its operating system, in words."""
        said = self.attributes["roles"][role]
        if self.machines:
            return f"machine {role!r} in {self.machines}"
        if "module" in said:
            return f"{said['variable']} of module {said['module']}, role {role!r} in {self.path},"
        file = os.path.join(self.path, said["file"])
        return f"{said['variable']} in {file}" if "variable" in said else file

    def directory(self, role: str) -> str:
        """The directory that files and modules of a role expect to be evaluated in: their own."""
        file = self.machines or self.attributes["roles"][role].get("file", "")
        return os.path.dirname(os.path.join(self.path, file))


def read_composition(directory: str, evaluate: t.Callable[[str, str], t.Any]) -> GuixComposition:
    """The composition in a directory.

    :param evaluate: gives what a program of ours (``nix/guix/compose``) says of a file in Scheme.
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
    said = _read_yaml(file) if there[0] == YAML_FILE else evaluate("evaluate.scm", file)
    if not isinstance(said, dict):
        raise InputError(f"{file}: expected a mapping with the key 'roles'")
    machines = said.pop("machines", None)
    if machines is not None:
        machines = _below(file, "machines", machines)
        said["roles"] = _with_machines(file, said.get("roles"), machines, evaluate("list-machines.scm", machines))
    attributes = check_composition(said, file, "guix")
    for role, fields in attributes["roles"].items():
        if not machines:
            _require_system(file, f"roles.{role}", fields)
    return GuixComposition(path, name, attributes, _test_script(file, attributes.get("testScript", "")), machines or "")


def _require_system(file: str, where: str, said: RoleAttributes) -> None:
    """:raises InputError: a role has not one operating system."""
    given = [key for key in ("file", "module", "variable") if key in said]
    if given not in (["file"], ["file", "variable"], ["module", "variable"]):
        raise InputError(
            f"{file}: {where}: has {' and '.join(given) or 'no file'}, expected 'file', with 'variable' if it defines "
            "several systems, or 'module' and 'variable'"
        )
    if "file" in said:
        _below(file, f"{where}.file", said["file"])


def _with_machines(file: str, given: object, machines: str, found: t.Any) -> dict[str, dict[str, object]]:
    """The machines of a file for ``guix deploy`` as roles, and what is said of some beside it."""
    roles: dict[str, dict[str, object]] = {}
    for machine in found:
        if machine["name"] in roles:
            raise InputError(f"{machines}: two machines have the host name {machine['name']!r}, expected one role each")
        roles[machine["name"]] = {"machine": machine["machine"]}
    for role, said in values.mapping(given, f"{file}: roles").items():
        if role not in roles:
            raise InputError(f"{file}: roles.{role}: {machines} has no such machine{nearest(str(role), roles)}")
        more = values.mapping(said, f"{file}: roles.{role}")
        for key in ("file", "module", "variable"):
            if key in more:
                raise InputError(
                    f"{file}: roles.{role}.{key}: the operating system is that of the machine in {machines}"
                )
        roles[role] = {**roles[role], **more}
    return roles


def _below(file: str, where: str, given: object) -> str:
    """Absolute path of a file of the composition. :raises InputError: there is none."""
    path = os.path.join(os.path.dirname(file), str(given))
    if not os.path.isfile(path):
        raise InputError(f"{file}: {where}: there is no file {given!r} in {os.path.dirname(file)}")
    return path


def scheme(value: object) -> str:
    """A string, or truth, as Scheme writes it."""
    if isinstance(value, bool):
        return "#t" if value else "#f"
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _read_yaml(file: str) -> t.Any:
    try:
        import yaml  # here, because most steps read none
    except ImportError:
        raise missing_library("yaml", what="a composition for Guix") from None
    with open(file, encoding="utf-8") as stream:
        try:
            return yaml.safe_load(stream)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise InputError(f"{file}: not valid YAML: {error}") from None


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
