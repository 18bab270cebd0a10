# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a directory has its NixOS configurations, and what stands beside them. PRIVATE to the collection."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass, field

from ...describe.attributes import Attributes
from ...describe.names import is_host_name, label_of
from ...describe.role_schema import check_composition
from ...errors import InputError, nearest
from ...libraries import missing_library
from ...model.free import Json

#: File → form of what it has; of several, the first counts.
FORMS: t.Mapping[str, str] = {
    "composition.nix": "composition",
    "hive.nix": "hive",
    "flake.nix": "flake",
    "default.nix": "expression",
}
#: Roles to deploy, counts, checks, ports and volumes, for the forms that have no place for them.
BESIDE = "composition.yml"


@dataclass(frozen=True)
class Source:
    """A directory with NixOS configurations."""

    directory: str
    #: File with the configurations, an absolute path.
    file: str
    #: See :data:`FORMS`.
    form: str

    @property
    def name(self) -> str:
        return label_of(os.path.basename(self.directory))

    @property
    def argument(self) -> str:
        """How ``nix/nixos`` is told the file."""
        return os.path.dirname(self.file) if self.form == "flake" else self.file

    def beside(self) -> dict[str, object]:
        """What ``composition.yml`` says; empty if there is none."""
        path = os.path.join(self.directory, BESIDE)
        if self.form == "composition" or not os.path.isfile(path):
            return {}
        return _read_yaml(path)

    def checked(self, said: t.Mapping[str, object], names: t.Collection[str] | None = None) -> Attributes:
        """Roles, counts and checks, found valid.

        :param names: of the configurations that there are, where roles must be some of them.
        :raises InputError: the file, the attribute, what was expected.
        """
        where = self.file if self.form == "composition" else os.path.join(self.directory, BESIDE)
        attributes = check_composition(dict(said), where, "nixos")
        for role in attributes["roles"]:
            if names is not None and role not in names:
                raise InputError(f"{where}: roles.{role}: {self.file} has no such configuration{nearest(role, names)}")
        return attributes


def find_source(path: str, given: str) -> Source:
    """The NixOS configurations of a directory.

    :param given: option ``source``: a file in it; empty: the first of :data:`FORMS` that there is.
    :raises InputError: there is none, or the directory's name is not one for a composition.
    """
    directory = os.path.abspath(path)
    if given:
        file = os.path.join(directory, given)
        if not os.path.isfile(file):
            raise InputError(f"option source of builder 'nixos' is {given!r}, but {file} is not a file")
    else:
        found = [name for name in FORMS if os.path.isfile(os.path.join(directory, name))]
        if not found:
            raise InputError(
                f"{directory}: has none of {', '.join(FORMS)}, one of which makes a directory a composition of the "
                "builder 'nixos'"
            )
        file = os.path.join(directory, found[0])
    source = Source(os.path.dirname(file) if given else directory, file, _form(os.path.basename(file)))
    if not is_host_name(source.name):
        raise InputError(
            f"{directory}: the directory's name names the composition; use letters, digits and dashes, at most 63"
        )
    return source


def _form(name: str) -> str:
    """The form of what a file has, by its name: also ``site-composition.nix`` is a composition."""
    return next((form for end, form in FORMS.items() if name == end or name.endswith(f"-{end}")), "expression")


@dataclass(frozen=True)
class Evaluated:
    """A composition in the form of NixOS Compose, by its own names; it may have further attributes."""

    ignores_unknown: t.ClassVar[bool] = True

    roles: dict[str, Json]
    compose: Json = field(default_factory=dict)
    testScript: Json = ""  # pylint: disable=invalid-name
    rolesDistribution: Json = field(default_factory=dict)  # pylint: disable=invalid-name


def of_composition(evaluated: Evaluated, file: str) -> dict[str, object]:
    """What a composition in the form of NixOS Compose says, as :meth:`Source.checked` takes it.

    NixOS Compose passes over attributes that it does not know, and so it is done here.
    """
    roles: dict[str, object] = dict(evaluated.roles)
    if not roles:
        raise InputError(f"{file}: roles is missing or empty")
    beside = evaluated.compose
    if not isinstance(beside, dict):
        raise InputError(f"{file}: compose: expected a set with ports, volumes and mayFail of roles")
    for role, fields in beside.items():
        if role not in roles:
            raise InputError(f"{file}: compose.{role}: there is no such role{nearest(role, roles)}")
        roles[role] = fields
    return {
        "roles": roles,
        "testScript": evaluated.testScript,
        "rolesDistribution": evaluated.rolesDistribution,
    }


def _read_yaml(path: str) -> dict[str, object]:
    try:
        import yaml  # here, because most compositions have none
    except ImportError:
        raise missing_library("yaml", what="a composition with YAML files") from None
    with open(path, encoding="utf-8") as stream:
        try:
            content = yaml.safe_load(stream)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise InputError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a mapping with any of roles, rolesDistribution, testScript")
    return content
