# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a user or token of Proxmox VE may do what a deployment needs. PRIVATE to the collection.

Found by leaving out one privilege after the other on a real server (version 9.2); see docs/platforms/proxmox.md.
"""

from __future__ import annotations

import typing as t

from ...model.answer import answer
from ...model.result import Problem
from .answers import Permissions
from .client import Client, ProxmoxError

#: On each VM.
VM: tuple[str, ...] = ("VM.Audit", "VM.PowerMgmt", "VM.Config.Disk", "VM.Config.Options")
#: Besides, to set what a VM consists of, where VMs are made.
MAKING = ("VM.Allocate", "VM.Config.CPU", "VM.Config.Memory", "VM.Config.HWType", "VM.Config.Network")
#: Where VMs are made in a pool: tags are checked before the VM is in it.
TAGGING = ("VM.Config.Options",)
#: To ask the guest agent for addresses.
AGENT = ("VM.GuestAgent.Audit",)
AGENT_OF_8 = ("VM.Monitor",)
SNAPSHOT = ("VM.Snapshot",)
#: For linked clones, where VMs are made: on templates and clones.
CLONING = ("VM.Audit", "VM.Allocate", "VM.Clone", "VM.Config.Disk", "VM.Config.Options")
#: On the storage of the disks.
DISKS = ("Datastore.AllocateSpace",)
#: On the storage to which images are uploaded; the last one to remove them.
UPLOADS = ("Datastore.AllocateTemplate", "Datastore.AllocateSpace", "Datastore.Allocate")
#: To see what is managed, and to change it.
HA = ("Sys.Audit", "Sys.Console")
#: On the bridge of a network interface.
NETWORK = ("SDN.Use",)


class Privileges:
    """What the caller may do, by path."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._paths: Permissions | None = None
        #: Of paths that were asked for one by one.
        self._asked: dict[str, set[str]] = {}
        self._missing: dict[str, set[str]] = {}

    def demand(self, path: str, privileges: t.Iterable[str]) -> None:
        """Note what is missing on a path."""
        if self._paths is None:
            self._paths = _told(self._client)
        lacking = set(privileges) - self._nearest(path)
        if lacking:  # membership in a pool shows only when that very path is asked for
            if path not in self._asked:
                self._asked[path] = on(self._client, path)
            lacking -= self._asked[path]
        if lacking:
            self._missing.setdefault(path, set()).update(lacking)

    def missing(self) -> list[Problem]:
        """All that is missing, and where: one problem, of nobody's node."""
        if not self._missing:
            return []
        where = "; ".join(
            f"on {path}: {', '.join(sorted(names))}{separation(self._client, path, names)}"
            for path, names in sorted(self._missing.items())
        )
        return [
            Problem(
                f"{self._client.access.caller} lacks what is needed: {where}. Give a role with these privileges to the "
                "user and, if privileges are separated, to the token"
            )
        ]

    def _nearest(self, path: str) -> set[str]:
        """Privileges on a path as the nearest path above it that is listed hands them down."""
        known = self._paths or {}
        if path in known:
            return set(known[path])
        while path != "/":
            path = path.rpartition("/")[0] or "/"
            if path in known:
                return {name for name, handed_down in known[path].items() if handed_down}
        return set()


def separation(client: Client, path: str, names: t.Collection[str]) -> str:
    """What to add to privileges that somebody lacks, where it is a token and not its user who lacks them.

    Who owns a token may not be asked by the token itself, unless it has Sys.Audit on /access.
    """
    access = client.access
    if not access.token_id or set(names) <= on(client, path):
        return ""
    try:
        told = _told(client, path=path, userid=access.account)
    except ProxmoxError as error:
        if error.status != 403:
            raise
        return f" (if its user {access.account} has it: the token was made with privilege separation)"
    if set(names) <= set(told.get(path, {})):
        return " (its user has it: the token was made with privilege separation)"
    return ""


def on(client: Client, path: str) -> set[str]:
    """What the caller may do on a path."""
    return set(_told(client, path=path).get(path, {}))


def _told(client: Client, **params: str) -> Permissions:
    path = "/access/permissions"
    return answer(Permissions, client.call("GET", path, **params) or {}, f"Proxmox: GET {path}")
