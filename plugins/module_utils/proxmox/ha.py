# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""High availability of Proxmox VE, which starts what somebody stops: told to keep off, and to come back. PRIVATE."""

from __future__ import annotations

import time
import typing as t

from ..errors import ComposeError
from .client import Client, ProxmoxError

#: Seconds for the manager, which works in rounds of ten, to do as it was told.
DEADLINE = 120
_POLL = 1.0
_PATH = "/cluster/ha/resources"


def states(client: Client) -> dict[int, str]:
    """State that every managed VM is meant to have, by number."""
    return {
        int(entry["sid"][3:]): str(entry.get("state", "started"))
        for entry in client.get(_PATH)
        if str(entry["sid"]).startswith("vm:")
    }


def keep_off(client: Client, vmid: int) -> None:
    """Have the manager ignore a VM; returns when it does.

    :raises ComposeError: it does not in time.
    """
    _set(client, vmid, "ignored")
    end = time.monotonic() + DEADLINE
    while True:
        told = [entry for entry in client.get("/cluster/ha/status/current") if entry.get("sid") == f"vm:{vmid}"]
        if all(entry.get("crm_state", entry.get("state")) in (None, "ignored") for entry in told):
            return
        if time.monotonic() > end:
            raise ComposeError(f"the HA manager still takes care of VM {vmid} after {DEADLINE} s: {told[0]['state']}")
        time.sleep(_POLL)


def come_back(client: Client, vmid: int, state: str) -> None:
    """Have the manager take care of a VM again; one that nobody gives to it any more is left alone."""
    try:
        _set(client, vmid, state)
    except ProxmoxError as error:
        if "no such resource" not in error.text:
            raise


def manage(client: Client, vmid: int, group: str | None) -> None:
    """Have the manager take care of a VM that runs.

    :param group: of Proxmox VE 8; later versions know rules in their place.
    """
    try:
        client.call("POST", _PATH, sid=f"vm:{vmid}", state="started", group=group)
    except ProxmoxError as error:
        if "already defined" not in error.text:
            raise


def _set(client: Client, vmid: int, state: str) -> t.Any:
    # Setting what is set already does no harm: an answer that was lost is no reason to ask.
    return client.call("PUT", f"{_PATH}/vm:{vmid}", state=state)
