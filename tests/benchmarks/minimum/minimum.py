# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The bare minimum inventory plugin: adds what ``ansible-inventory --list --export`` printed."""

from __future__ import annotations

import json
import typing as t

from ansible.plugins.inventory import BaseInventoryPlugin

DOCUMENTATION = """
name: minimum
short_description: The bare minimum
description: What any inventory plugin has to do, and nothing else.
options: {}
"""


class InventoryModule(BaseInventoryPlugin):
    """Everything is known and trusted: no options, no checks, no conversion."""

    NAME = "minimum"
    trusted_by_default = True

    def verify_file(self, path: str) -> bool:
        return path.endswith(".json")

    def parse(self, inventory: t.Any, loader: t.Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        with open(path, encoding="utf-8") as stream:
            data = json.load(stream)
        hostvars = data.pop("_meta")["hostvars"]
        for name in (*data["all"]["children"], *data):
            inventory.add_group(name)
        for name, group in data.items():
            for child in group.get("children", ()) if name != "all" else ():
                inventory.add_child(name, child)
            for key, value in group.get("vars", {}).items():
                inventory.set_variable(name, key, value)
        for name, group in data.items():
            for host in group.get("hosts", ()):
                inventory.add_host(host, group=name)
        for host, variables in hostvars.items():
            for key, value in variables.items():
                inventory.set_variable(host, key, value)
