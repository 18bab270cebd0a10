# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup plugin: the group of all nodes, or why it is empty."""

from __future__ import annotations

DOCUMENTATION = r"""
name: nodes
short_description: Group of all nodes of all deployments
version_added: 0.1.0
author:
  - immutable.compose contributors (@immutable-compose)
description:
  - Gives the name of the group V(immutable), for C(hosts) of a play.
  - Fails where the inventory has no node of any deployment, and says which source is missing or broken. A play on an
    empty group would be skipped, and the run end well.
options: {}
"""

EXAMPLES = r"""
- name: Restart what must not be skipped in silence
  hosts: "{{ lookup('immutable.compose.nodes') }}"
  gather_facts: false
  tasks: []
"""

RETURN = r"""
_raw:
  description: Name of the group.
  type: list
  elements: str
"""

import typing as t

from ansible import context
from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.immutable.compose.plugins.plugin_utils.connections import prepare
from ansible_collections.immutable.compose.plugins.plugin_utils.sources import why_no_nodes

GROUP = "immutable"


class LookupModule(LookupBase):
    """Asks the inventory as it was read; ``--limit`` does not count."""

    def run(self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[str]:
        """The group's name."""
        if not (variables or {}).get("groups", {}).get(GROUP) and not context.CLIARGS.get("syntax"):
            why = why_no_nodes(list(context.CLIARGS.get("inventory") or ()))
            raise AnsibleError(f"The inventory has no node of any deployment. {why}")
        prepare()  # in a controller's job, the inventory was read long ago
        return [GROUP]
