# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: deployment_destroy
short_description: Stop and forget nodes
version_added: 0.1.0
description:
  - Stops the nodes of the batch and removes what was made for them; data volumes only if asked for, and only those of
    nodes of the batch.
  - With the last node of the deployment, also what the nodes shared, and nodes that are no part of it any more.
author: immutable.compose contributors (@immutable-compose)
extends_documentation_fragment:
  - immutable.compose.attributes.check
  - immutable.compose.attributes.no_diff
  - immutable.compose.fleet
options:
  data:
    description: Remove the data volumes too.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Destroy, but keep the data volumes
  immutable.compose.deployment_destroy:
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
nodes:
  description: NodeResult of each node, by name.
  type: dict
  returned: success
  sample: {"node1": {"ok": true, "changed": true}}
"""

from ansible_collections.immutable.compose.plugins.module_utils.fleet_module import run_step


def main() -> None:
    """Wire the module's arguments to the engine."""
    run_step("destroy", {"data": {"type": "bool", "default": False}})


if __name__ == "__main__":
    main()
