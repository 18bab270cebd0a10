# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: keys_rotate
short_description: Make a new login key and CA for a deployment
version_added: 0.1.0
description:
  - Makes the key with which the deployment will log in to its nodes, and the CA with which it will sign host keys and
    keys that log in during a run. They lie beside those that are used now.
  - The deploy that follows gives them to the nodes. Once it has verified all of them, and has logged in to each with
    the new key, they take the place of the old ones. A deploy that goes back drops them. The playbook
    C(immutable.compose.rotate) is this module and that deploy.
  - Refused, before anything is touched, if hosts of the deployment are not in the batch, or are not as they were
    verified. New keys that an earlier run has made, and that no deploy has taken or dropped, are kept.
author: immutable.compose contributors (@immutable-compose)
extends_documentation_fragment:
  - immutable.compose.attributes.check
  - immutable.compose.attributes.no_diff
  - immutable.compose.fleet
seealso:
  - module: immutable.compose.deployment_settle
"""

EXAMPLES = r"""
- name: Make new keys
  immutable.compose.keys_rotate:
  run_once: true
  delegate_to: localhost

- name: Boot all nodes, which take them
  ansible.builtin.import_role:
    name: immutable.compose.deploy
  vars:
    deploy_release: current
    compose_replace: "{{ ansible_play_batch }}"
"""

RETURN = r"""
nodes:
  description: NodeResult of each node, by name. C(changed) says that the keys are new.
  type: dict
  returned: success
  sample: {"node1": {"ok": true, "changed": true}}
failed_nodes:
  description: Nodes of deployments that were refused.
  type: list
  elements: str
  returned: success
"""

from ansible_collections.immutable.compose.plugins.module_utils.fleet_module import run_step


def main() -> None:
    """Wire the module to the engine."""
    run_step("keys", {})


if __name__ == "__main__":
    main()
