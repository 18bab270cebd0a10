# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: deployment_report
short_description: Report each host's own result of the fleet steps
version_added: 0.1.0
description:
  - The fleet steps run once for all nodes of a batch. This action gives each host its own result from what they
    registered, so that a failed node is a failed host, in the recap and in AWX.
  - Runs on the controller only, without a connection.
author: immutable.compose contributors (@immutable-compose)
extends_documentation_fragment:
  - immutable.compose.attributes.check
  - immutable.compose.attributes.no_diff
attributes:
  action:
    description: Indicates this has a corresponding action plugin so some parts of the options can be executed on the
      controller.
    support: full
options:
  plan:
    description: This host's entry in C(nodes) of what M(immutable.compose.deployment_plan) returned.
    type: dict
    default: {}
  result:
    description:
      - This host's entry in C(nodes) of what M(immutable.compose.deployment_settle) or
        M(immutable.compose.deployment_verify) returned; empty if neither ran.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Report
  immutable.compose.deployment_report:
    plan: "{{ compose_plan.nodes[inventory_hostname] }}"
    result: "{{ compose_settled.nodes[inventory_hostname] }}"
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
  returned: when the node was taken back
evidence:
  description:
    - What the node has said of itself when it failed its checks. C(checks) are the names of those that failed;
      C(journal) and C(console) the last 20 lines of each, as far as they can be had, of the first ten such nodes.
  type: dict
  returned: when checks of the node failed
  sample: {"checks": ["units"], "journal": "systemd[1]: nginx.service: Failed with result 'exit-code'."}
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Everything is done by the action plugin."""
    module = AnsibleModule(
        {"plan": {"type": "dict", "default": {}}, "result": {"type": "dict", "default": {}}},
        supports_check_mode=True,
    )
    module.fail_json(msg="the action plugin of this module did not run")


if __name__ == "__main__":
    main()
