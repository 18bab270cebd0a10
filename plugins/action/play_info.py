# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which plays of a repository reach nodes: their patterns, held against the inventory of the run."""

from __future__ import annotations

import os
import typing as t

from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

from ansible_collections.immutable.compose.plugins.plugin_utils.plays import Play, plays_in


class ActionModule(ActionBase):
    """Reads files on the controller; no connection, no module run."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        dummy, arguments = self.validate_argument_spec({"path": {"type": "path", "required": True}})
        path = os.path.abspath(arguments["path"])
        if not os.path.exists(path):
            raise AnsibleError(f"path is {arguments['path']!r}, which does not exist; expected a directory or playbook")
        groups: t.Mapping[str, t.Sequence[str]] = (task_vars or {}).get("groups", {})
        inventory, nodes = self._inventory(groups), set(groups.get("immutable", ()))
        found: list[dict[str, t.Any]] = []
        unknown: list[dict[str, t.Any]] = []
        for play in plays_in(path):
            if "immutable.compose.nodes" in play.hosts:
                continue  # is meant for them
            at = {"file": play.file, "line": play.line, "hosts": play.hosts}
            try:
                pattern = str(self._templar.template(trust_as_template(play.hosts)))
            except AnsibleError:
                message = f"{play.file}:{play.line}: hosts: {play.hosts} is known only in its play"
                unknown.append({**at, "message": message})
                continue
            reached = [host.name for host in inventory.get_hosts(pattern)]
            if nodes.intersection(reached):
                found.append({**at, **_finding(play, [host for host in reached if host in nodes], len(reached))})
        return {"changed": False, "plays": found, "unknown": unknown}

    def _inventory(self, groups: t.Mapping[str, t.Sequence[str]]) -> InventoryManager:
        """The hosts and groups of the run, for the language of patterns."""
        inventory = InventoryManager(loader=self._loader, parse=False)
        for group, hosts in groups.items():
            inventory.add_group(group)
            for host in hosts:
                inventory.add_host(host, group=group if group not in ("all", "ungrouped") else None)
        inventory.reconcile_inventory()
        return inventory


def _finding(play: Play, nodes: t.Sequence[str], hosts: int) -> dict[str, t.Any]:
    shown = ", ".join(nodes[:3]) + (f" and {len(nodes) - 3} more" if len(nodes) > 3 else "")
    message = f"{play.file}:{play.line}: hosts: {play.hosts} reaches {len(nodes)} nodes ({shown})"
    others = hosts - len(nodes)
    if not others:
        message += " and no other host: what it does belongs in their roles"
    else:
        message += f" and {others} other hosts; write hosts: {play.instead}"
        if play.ending:
            message += f". With {', '.join(play.ending)}, a node that refuses a task ends the play for these"
    return {"nodes": list(nodes), "others": others, "instead": play.instead if others else "", "message": message}
