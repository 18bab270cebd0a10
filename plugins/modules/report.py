# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: Report each host's own result of the fleet steps
version_added: 0.1.0
description:
  - The fleet steps run once for all nodes of a batch. This action gives each host its own result from what they
    registered, so that a failed node is a failed host, in the recap and in AWX.
  - Runs on the controller only, without a connection.
author: immutable.compose contributors (@immutable-compose)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
  action:
    description: Indicates this has a corresponding action plugin so some parts of the options can be executed on the
      controller.
    support: full
options:
  plan:
    description: This host's entry in C(steps) of what M(immutable.compose.plan) returned.
    type: dict
    required: true
  switch:
    description: This host's entry in C(nodes) of what M(immutable.compose.switch) returned; empty if it did not run.
    type: dict
    default: {}
  verify:
    description: This host's entry in C(nodes) of what M(immutable.compose.verify) returned; empty if it did not run.
    type: dict
    default: {}
  revert:
    description: This host's entry in C(nodes) of what M(immutable.compose.revert) returned; empty if it did not run.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Report
  immutable.compose.report:
    plan: "{{ compose_plan.steps[inventory_hostname] | default({}) }}"
    verify: "{{ compose_verify.nodes[inventory_hostname] | default({}) }}"
"""

RETURN = r"""
action:
  description: What the plan said for this node.
  type: str
  returned: always
image:
  description: Image that is meant for this node.
  type: str
  returned: always
running:
  description: Image that the node ran before.
  type: str
  returned: always
reverted_to:
  description: Image that the node is back on.
  type: str
  returned: when the batch was reverted
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Everything is done by the action plugin."""
    steps = ("plan", "switch", "verify", "revert")
    module = AnsibleModule(
        {
            step: {"type": "dict", "required": True} if step == "plan" else {"type": "dict", "default": {}}
            for step in steps
        },
        supports_check_mode=True,
    )
    module.fail_json(msg="the action plugin of this module did not run")


if __name__ == "__main__":
    main()
