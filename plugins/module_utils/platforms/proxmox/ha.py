# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""High availability of Proxmox VE, which starts what somebody stops: told to keep off, and to come back. PRIVATE."""

from __future__ import annotations

import re
import time
import typing as t

from ...errors import ComposeError, InputError
from .answers import HaGroup, HaResource, HaRule, HaStatus
from .client import Client, ProxmoxError

#: Seconds for the manager, which works in rounds of ten, to do as it was told.
DEADLINE = 120
_POLL = 1.0
_PATH = "/cluster/ha/resources"
#: The version whose rules replace groups.
RULES = (9,)
_RULES = "/cluster/ha/rules"
_KIND = "node-affinity"
_VM = re.compile("vm:([0-9]{1,9})")


def states(client: Client) -> dict[int, str]:
    """State that every managed VM is meant to have, by number."""
    found = {}
    for entry in client.get(list[HaResource], _PATH):
        match = _VM.fullmatch(entry.sid)
        if match:
            found[int(match[1])] = entry.state or "started"
    return found


def keep_off(client: Client, vmid: int) -> None:
    """Have the manager ignore a VM; returns when it does.

    :raises ComposeError: it does not in time.
    """
    _set(client, vmid, "ignored")
    end = time.monotonic() + DEADLINE
    while True:
        entries = client.get(list[HaStatus], "/cluster/ha/status/current")
        told = [entry.crm_state or entry.state for entry in entries if entry.sid == f"vm:{vmid}"]
        if all(state in (None, "ignored") for state in told):
            return
        if time.monotonic() > end:
            raise ComposeError(f"the HA manager still takes care of VM {vmid} after {DEADLINE} s: {told[0]}")
        time.sleep(_POLL)


def come_back(client: Client, vmid: int, state: str) -> None:
    """Have the manager take care of a VM again; one that nobody gives to it any more is left alone."""
    try:
        _set(client, vmid, state)
    except ProxmoxError as error:
        if "no such resource" not in error.text:
            raise


def check_group(client: Client, version: tuple[int, ...], name: str) -> None:
    """:raises InputError: there is no such group or, in versions that know none, no such rule."""
    if version < RULES:
        names = [str(entry.group) for entry in client.get(list[HaGroup], "/cluster/ha/groups")]
    else:
        names = [str(entry.rule) for entry in client.get(list[HaRule], _RULES, type=_KIND)]
    if name not in names:
        what = "group" if version < RULES else "rule of node affinity"
        raise InputError(f"ha_group is {name!r}, expected a {what} of Proxmox: {', '.join(sorted(names)) or 'none'}")


def manage(client: Client, groups: t.Mapping[int, str | None], version: tuple[int, ...]) -> None:
    """Have the manager take care of VMs that run.

    :param groups: VM → the group that it is in or, in versions that know none, the rule that holds for it.
    """
    names = sorted({group for group in groups.values() if group})
    for name in names:
        check_group(client, version, name)
    managed = states(client)
    for vmid in sorted(set(groups) - set(managed)):
        try:
            group = groups[vmid] if version < RULES else None
            client.call("POST", _PATH, sid=f"vm:{vmid}", state="started", group=group)
        except ProxmoxError as error:
            if "already defined" not in error.text:
                raise
    if version >= RULES:
        for name in names:
            _join(client, name, {f"vm:{vmid}" for vmid, group in groups.items() if group == name})


def _join(client: Client, name: str, members: t.AbstractSet[str]) -> None:
    """Have a rule hold for members, besides those for which it does."""
    for rule in client.get(list[HaRule], _RULES, type=_KIND):
        there = set(re.findall(r"[^, ]+", rule.resources or ""))
        if rule.rule == name and members - there:
            resources = ",".join(sorted(members | there))
            client.call("PUT", f"{_RULES}/{name}", type=_KIND, resources=resources, digest=rule.digest)


def _set(client: Client, vmid: int, state: str) -> t.Any:
    # Setting what is set already does no harm: an answer that was lost is no reason to ask.
    return client.call("PUT", f"{_PATH}/vm:{vmid}", state=state)
