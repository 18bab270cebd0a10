# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Proxmox VE answers, as far as it is looked at. PRIVATE to the collection.

https://pve.proxmox.com/pve-docs/api-viewer/ has the rest. What it documents as optional may be missing.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ...model.answer import Part, Word
from ...model.free import Json

#: By key; what a value is depends on the key.
Values = dict[str, Json]
#: Path → privilege → whether it is handed down; as of ``/access/permissions``.
Permissions = dict[str, dict[str, t.Optional[bool]]]


@dataclass(frozen=True)
class Version(Part):
    """Of ``/version``."""

    version: str


@dataclass(frozen=True)
class Member(Part):
    """An entry of ``/cluster/status``."""

    type: str
    name: Word | None = None
    quorate: bool | None = None


@dataclass(frozen=True)
class Listed(Part):
    """An entry of ``/cluster/resources``."""

    type: str
    node: Word | None = None
    vmid: int | None = None
    name: Word | None = None
    status: str | None = None
    tags: Word | None = None
    template: bool | None = None
    hastate: str | None = None


@dataclass(frozen=True)
class Bridge(Part):
    """An entry of ``/nodes/NODE/network``."""

    iface: Word


@dataclass(frozen=True)
class ListedStorage(Part):
    """An entry of ``/storage``."""

    storage: str
    type: str
    content: str | None = None
    nodes: Word | None = None
    shared: bool | None = None
    disable: bool | None = None


@dataclass(frozen=True)
class Volume(Part):
    """An entry of what a storage has."""

    volid: str
    size: int | None = None


@dataclass(frozen=True)
class Options(Part):
    """Of ``/cluster/options``."""

    #: As it is written in the file of options, or its parts.
    user_tag_access: str | Values | None = None


@dataclass(frozen=True)
class Managed(Part):
    """What high availability has to do with a VM."""

    managed: bool | None = None


@dataclass(frozen=True)
class Status(Part):
    """Of ``/status/current`` of a VM."""

    status: str
    ha: Managed = field(default_factory=Managed)
    #: Seconds.
    uptime: float = 0.0


@dataclass(frozen=True)
class TaskStatus(Part):
    """Of ``/tasks/UPID/status``."""

    status: str
    exitstatus: str | None = None


@dataclass(frozen=True)
class Line(Part):
    """A line of a task's log."""

    t: Word


@dataclass(frozen=True)
class Snapshot(Part):
    """An entry of ``/snapshot``."""

    name: Word


@dataclass(frozen=True)
class Feature(Part):
    """Of ``/feature``."""

    # As the server spells it.
    hasFeature: bool  # pylint: disable=invalid-name


@dataclass(frozen=True)
class Terminal(Part):
    """Of ``/termproxy``."""

    port: int
    ticket: str
    user: str


@dataclass(frozen=True)
class HaResource(Part):
    """An entry of ``/cluster/ha/resources``."""

    sid: str
    state: str | None = None


@dataclass(frozen=True)
class HaStatus(Part):
    """An entry of ``/cluster/ha/status/current``."""

    sid: str | None = None
    state: str | None = None
    crm_state: str | None = None


@dataclass(frozen=True)
class HaGroup(Part):
    """An entry of ``/cluster/ha/groups``."""

    group: Word


@dataclass(frozen=True)
class HaRule(Part):
    """An entry of ``/cluster/ha/rules``."""

    rule: Word
    resources: str | None = None
    digest: str | None = None


@dataclass(frozen=True)
class Address(Part):
    """Of an interface of a guest."""

    ip_address_type: str
    ip_address: str


@dataclass(frozen=True)
class GuestInterface(Part):
    """Of a guest."""

    hardware_address: str = ""
    ip_addresses: list[Address] = field(default_factory=list)


@dataclass(frozen=True)
class Told(Part):
    """Of the guest agent's ``network-get-interfaces``."""

    result: list[GuestInterface]


def underscored(data: t.Any, levels: int = 8) -> t.Any:
    """An answer whose keys have dashes, with names of fields.

    :param levels: that are looked at.
    """
    if isinstance(data, dict) and levels:
        return {str(key).replace("-", "_"): underscored(value, levels - 1) for key, value in data.items()}
    return [underscored(item, levels - 1) for item in data] if isinstance(data, list) and levels else data
