# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``compose-info.json``, the result of a build of NixOS Compose, in all its forms. PRIVATE to the collection.

The file has no version; its forms are told apart by what they have:

=============== ==================================================================================================
flavours        form
=============== ==================================================================================================
vm, g5k-…       ``compositions_info``: composition → ``roles``, and ``all`` with what is booted. A role is the store
                path of its system (from 0.7.9 on), or ``{init, closure_info}`` before. Until 2021, ``nodes`` or
                ``roles`` of the one composition stand at the top. ``nodes`` was the name of ``roles`` before 0.4.0.
any             a role with ``kernel`` and ``initrd`` of its own (flavours of a project that are not all-in-one)
nspawn          ``roles``: list of names; ``composition`` (always of this name): role → ``toplevel``, ``init``
docker          ``roles``: list of names; ``docker-compose-file``: its services have ``command: [SYSTEM/init]``
=============== ==================================================================================================
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ...errors import SHOWN, InputError, nearest, shown
from ...files import json_of
from ...model.composition import Distribution
from ...model.free import Parameters

Read = t.Callable[[str], str]


@dataclass(frozen=True)
class Built:
    """One role, as it was built."""

    #: Store path of its system.
    system: str
    #: Format of an image → file or directory in the store.
    files: t.Mapping[str, str]
    #: Service of the compose file, for docker.
    service: Parameters = field(default_factory=dict)

    @property
    def identity(self) -> str:
        return self.system.rstrip("/").rpartition("/")[2]


@dataclass(frozen=True)
class ComposeInfo:
    """What a build of one composition in one flavour gave."""

    flavour: str
    composition: str
    roles: t.Mapping[str, Built]
    distribution: t.Mapping[str, Distribution]
    #: Store path; empty: there is none.
    test_script: str
    #: ``all``, as nodes want to be told of it.
    common: Parameters
    #: Store path of what stage 1 looks systems up in; empty where it is in the image, or not wanted.
    compositions_info_path: str


def read_compose_info(text: str, composition: str, where: str, read: Read) -> ComposeInfo:
    """Read a compose-info.

    :param composition: which one of those in it.
    :param read: content of another store file that the compose-info names.
    :raises InputError: it is none, or has no such composition.
    """
    try:
        data = json_of(text)
        if not isinstance(data, dict):
            raise TypeError(f"it is {shown(data)}")
        return _read(data, composition, where, read)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{where} is not a compose-info.json of NixOS Compose that is known here: {type(error).__name__} "
            f"{str(error)[:SHOWN]}"
        ) from None


def _read(data: t.Mapping[str, t.Any], composition: str, where: str, read: Read) -> ComposeInfo:
    flavour = data["flavour"]
    name = flavour["name"] if isinstance(flavour, dict) else flavour
    described: t.Mapping[str, t.Any] = data
    if "compositions_info" in data:
        there = data["compositions_info"]
        if composition not in there:
            raise InputError(f"{where} has no composition {shown(composition)}{nearest(composition, there)}")
        described = there[composition]
    roles = described["roles"] if described.get("roles") else described["nodes"]
    common = data.get("all", {})
    if "docker-compose-file" in data:
        services = json_of(read(data["docker-compose-file"]))["services"]
        built = {
            role: Built(_system(services[role]["command"][0]), {"oci": data["image"]}, services[role]) for role in roles
        }
    elif name == "nspawn":
        systems = {role: _system_of(data["composition"][role], role, where) for role in roles}
        built = {role: Built(system, {"toplevel": system}) for role, system in systems.items()}
    else:
        built = {
            role: Built(_system_of(_entry(roles, role), role, where), _files(common, _entry(roles, role)))
            for role in roles
        }
    return ComposeInfo(
        flavour=name,
        composition=composition,
        roles=built,
        distribution=described.get("roles_distribution", {}),
        test_script=described.get("test_script", ""),
        common=common,
        compositions_info_path=data.get("compositions_info_path", ""),
    )


def _entry(roles: t.Any, role: str) -> t.Any:
    return roles[role] if isinstance(roles, dict) else None


def _system_of(entry: t.Any, role: str, where: str) -> str:
    """Store path of a role's system: the path itself, or that of its init."""
    if isinstance(entry, str):
        return _system(entry)
    if isinstance(entry, dict) and ("toplevel" in entry or "init" in entry):
        return _system(entry.get("toplevel") or entry["init"])
    raise InputError(f"{where}: role {role!r} is {shown(entry)}, expected the store path of its system or of its init")


def _system(path: str) -> str:
    return path[: -len("/init")] if path.endswith("/init") else path


def _files(common: t.Mapping[str, t.Any], entry: t.Any) -> dict[str, str]:
    """What boots a role: an archive of the whole system, or a kernel with its initrd."""
    own = {**common, **entry} if isinstance(entry, dict) else common
    if "image" in own:
        return {"tar": own["image"]}
    return {"kernel": own["kernel"], "initrd": own["initrd"]}
