# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: deployment_switch
short_description: Boot the planned images
version_added: 0.1.0
description:
  - Creates or replaces the nodes of the batch, and tells running nodes their new peers.
  - A node that cannot be switched does not end the task; it is listed in C(failed_nodes).
  - A node that runs already what is meant is left alone.
  - Where C(at_most) of the deployment makes the plan have several C(waves), each but the last is verified, without the
    test script, before the next. After a wave with a failed node, all others are left alone.
author: immutable.compose contributors (@immutable-compose)
extends_documentation_fragment:
  - immutable.compose.attributes.planned
  - immutable.compose.attributes.diff
  - immutable.compose.fleet
options:
  plan:
    description:
      - What M(immutable.compose.deployment_plan) returned, with O(immutable.compose.deployment_plan#module:hold).
      - A deployment whose plan failed is left alone; its hosts have failed results.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Switch
  immutable.compose.deployment_switch:
    plan: "{{ compose_plan }}"
  register: compose_switch
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
asked:
  description:
    - Host → hook that has to run for it before the task, repeated, goes on; with C(file) and C(token). What became of
      it is the host's variable C(deploy_hooked), with C(token) and C(message), which is empty if all is well.
    - The role P(immutable.compose.deploy#role) does all of this.
  type: dict
  returned: where the deployment file has C(hooks) and one of them is due
  sample: {"node1": {"hook": "drain", "file": "/srv/site/hooks/drain.yml", "token": "0d9c"}}
failed_nodes:
  description: Nodes for which the step failed.
  type: list
  elements: str
  returned: success
nodes:
  description: NodeResult of each node, by name.
  type: dict
  returned: success
  sample: {"node1": {"ok": true, "changed": true}}
"""

from ansible_collections.immutable.compose.plugins.module_utils.fleet_module import run_step


def main() -> None:
    """Wire the module's arguments to the transaction."""
    run_step("switch", {"plan": {"type": "dict", "required": True}})


if __name__ == "__main__":
    main()
