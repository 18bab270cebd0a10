# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of other inventory sources, and where Ansible reaches them. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleError
from ansible.inventory.data import InventoryData
from ansible.inventory.group import Group
from ansible.inventory.helpers import get_group_vars, sort_groups
from ansible.inventory.host import Host
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.plugins import get_vars_from_inventory_sources

from ansible_collections.immutable.compose.plugins.module_utils.describe.deployment import Others
from ansible_collections.immutable.compose.plugins.module_utils.describe.placement import Reached
from ansible_collections.immutable.compose.plugins.module_utils.describe.values import Unchecked

#: What connection plugins read; the last one that is set wins.
VARIABLES = ("ansible_host", "ansible_ssh_host")


def others_of(inventory: InventoryData, loader: DataLoader, path: str) -> Others:
    """What the sources read so far define.

    :param path: of the source that is being read.
    """
    groups = {name: [host.name for host in group.get_hosts()] for name, group in inventory.groups.items()}
    groups["all"] = list(inventory.hosts)  # has no children before all sources are read
    hosts = {name: host.vars for name, host in inventory.hosts.items()}
    deployments = {
        str(group.vars["compose_deployment"]): groups[name]
        for name, group in inventory.groups.items()
        if "compose_deployment" in group.vars
    }
    ways = _Ways(inventory, loader, path)
    return Others(hosts, groups, ways, deployments, ways.held)


class _Ways:
    """What the sources say, with the files of ``group_vars`` and ``host_vars`` beside them."""

    def __init__(self, inventory: InventoryData, loader: DataLoader, path: str) -> None:
        self._inventory = inventory
        self._loader = loader
        self._sources = [*inventory.processed_sources, path]

    def __call__(self, name: str) -> Reached:
        """How a host is reached, by what has the last word on it in Ansible's order."""
        of_host = self._of_files([self._inventory.hosts[name]])
        held = self.held(name)
        variable = next((variable for variable in reversed(VARIABLES) if held.get(variable) is not None), None)
        by_ssh = held.get("ansible_connection") in (None, "ssh", "smart", "ansible.builtin.ssh", "ansible.legacy.ssh")
        if variable is None:
            return Reached(name, by_ssh=by_ssh)
        at = self._resolved(held[variable], {**held, "inventory_hostname": name})
        return Reached(at, variable, in_host_vars=of_host.get(variable) is not None, by_ssh=by_ssh)

    def held(self, name: str) -> Unchecked:
        """All variables of a host, the last word on each."""
        host = self._inventory.hosts[name]
        groups = {group.name: group for group in (self._inventory.groups["all"], *host.get_groups())}
        ordered = sort_groups(groups.values())
        return {**get_group_vars(ordered), **self._of_files(ordered), **host.vars, **self._of_files([host])}

    def _of_files(self, entities: t.Sequence[Host | Group]) -> dict[str, t.Any]:
        try:
            return dict(get_vars_from_inventory_sources(self._loader, self._sources, entities, "task"))
        except AnsibleError:  # encrypted, or broken: for Ansible to say, which reads them later
            return {}

    def _resolved(self, value: t.Any, variables: dict[str, t.Any]) -> str:
        try:
            return str(Templar(loader=self._loader, variables=variables).template(value)).strip()
        except AnsibleError:  # needs what is known only in a play
            return str(value)
