# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: revert
short_description: Boot the last verified images again
version_added: 0.1.0
description:
  - Nodes of the batch that do not run their last verified image boot that again; nodes that never had one are stopped.
  - Keeps to C(at_most) of the deployment. Nodes that cannot go back without breaking it are left, and listed in
    RV(failed_nodes).
author: immutable.compose contributors (@immutable-compose)
extends_documentation_fragment:
  - immutable.compose.fleet
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: partial
    details: In check mode the module does nothing and predicts nothing; the plan has said what would happen.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
options:
  plan:
    description: What M(immutable.compose.plan) returned. Its nodes are the batch, also those that have failed since.
    type: dict
    required: true
  failed:
    description: Nodes of the batch that may not work. They go back first.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Go back to what was verified last
  immutable.compose.revert:
    plan: "{{ compose_plan }}"
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
failed_nodes:
  description: Nodes for which the step failed.
  type: list
  elements: str
  returned: success
nodes:
  description: Outcome of each node, by name; C(back_on) is the image that a reverted node is back on.
  type: dict
  returned: success
  sample: {"node1": {"ok": true, "changed": true, "message": "", "back_on": "s3k1…-web-proxy"}}
"""

from ansible_collections.immutable.compose.plugins.module_utils.deploy.step import run_step


def main() -> None:
    """Wire the module's arguments to the engine."""
    run_step(
        "revert",
        lambda engine, module: engine.revert(module.params["plan"], module.params["failed"]),
        {"plan": {"type": "dict", "required": True}, "failed": {"type": "list", "elements": "str", "default": []}},
    )


if __name__ == "__main__":
    main()
