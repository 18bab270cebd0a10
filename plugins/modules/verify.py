# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: verify
short_description: Check that nodes run what they should, and work
version_added: 0.1.0
description:
  - Checks identity, systemd units, declared ports, and runs the composition's test script.
  - A failed check does not end the task; its node is listed in RV(failed_nodes).
  - Writes C(results.json) and C(junit.xml) below C(results/verify) of the deployment's state directory.
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
    description: What M(immutable.compose.plan) returned.
    type: dict
    required: true
  skip:
    description: Nodes that could not even be switched; the test script does not run then.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Verify
  immutable.compose.verify:
    plan: "{{ compose_plan }}"
  register: compose_verify
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
failed_nodes:
  description: Nodes with a failed check.
  type: list
  elements: str
  returned: success
nodes:
  description: Result of each node, by name.
  type: dict
  returned: success
checks:
  description: How many checks passed and failed.
  type: dict
  returned: success
  sample: {"passed": 12, "failed": 0}
problem:
  description:
    - What failed and is no node's of the batch, but the deployment's, as a test script that blames none of them; empty
      if nothing.
    - Without nodes of their own failure beside it, it is listed for every node of the batch.
  type: str
  returned: success
message:
  description: What failed, for people; empty if nothing did.
  type: str
  returned: success
"""

from ansible_collections.immutable.compose.plugins.module_utils.deploy.step import run_step


def main() -> None:
    """Wire the module's arguments to the engine."""
    run_step(
        "verify",
        lambda engine, module: engine.verify(module.params["plan"], skip=module.params["skip"]),
        {"plan": {"type": "dict", "required": True}, "skip": {"type": "list", "elements": "str", "default": []}},
    )


if __name__ == "__main__":
    main()
