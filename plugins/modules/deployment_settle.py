# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: deployment_settle
short_description: Release what was verified, or go back
version_added: 0.1.0
description:
  - Ends what M(immutable.compose.deployment_plan) with O(immutable.compose.deployment_plan#module:hold) has begun.
  - "What was verified is recorded as a release, to which later runs go back; nodes that the plan retires go; releases
    beyond the kept ones, and staged images that nothing needs, are forgotten."
  - If a node that the run changed is not well, or one that was well before, or the test script failed, every node that
    the run changed boots its last verified image again; nodes that never had one are stopped; running nodes are told
    their former peers. Keeps to C(at_most) of the deployment.
  - What was not well before, and was left as it is, fails alone.
author: immutable.compose contributors (@immutable-compose)
extends_documentation_fragment:
  - immutable.compose.attributes.planned
  - immutable.compose.attributes.no_diff
  - immutable.compose.fleet
options:
  plan:
    description:
      - What M(immutable.compose.deployment_plan) returned, with O(immutable.compose.deployment_plan#module:hold).
      - A deployment whose plan failed is left alone; its hosts have failed results.
    type: dict
    required: true
  keep_failed:
    description: Do not go back, but leave what failed as it is, to be looked at.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Settle
  immutable.compose.deployment_settle:
    plan: "{{ compose_plan }}"
  register: compose_settled
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
  description: Nodes that are not what was asked for.
  type: list
  elements: str
  returned: success
nodes:
  description: The last word on each node of the batch, by name; C(back_on) is the image that it was taken back to.
  type: dict
  returned: success
  sample: {"node1": {"ok": true, "changed": true}}
deployments:
  description: The result of each deployment, by its name.
  type: dict
  returned: success
  contains:
    NAME:
      description: That of one deployment.
      type: dict
      returned: success
      contains:
        release:
          description: Number of the release that runs now, after going back that of before; null if what runs was not
            released.
          type: int
          returned: success
        retired:
          description: Nodes that were retired.
          type: list
          elements: str
          returned: when something was released
        veto:
          description: Why the run went back.
          type: str
          returned: when it did
        summary:
          description: What runs now and how to log in, for people.
          type: list
          elements: str
          returned: success
"""

from ansible_collections.immutable.compose.plugins.module_utils.fleet_module import run_step


def main() -> None:
    """Wire the module's arguments to the transaction."""
    run_step(
        "settle",
        {"plan": {"type": "dict", "required": True}, "keep_failed": {"type": "bool", "default": False}},
    )


if __name__ == "__main__":
    main()
