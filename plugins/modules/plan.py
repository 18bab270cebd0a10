# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: plan
short_description: Say what has to happen to each node of a deployment
version_added: 0.1.0
description:
  - Evaluates the composition, asks the platform what each node runs, and compares both.
  - Builds nothing and changes nothing; in check mode it says C(changed) if anything has to happen.
  - With C(--diff) the package differences of each role are shown.
author: immutable.compose contributors (@immutable-compose)
extends_documentation_fragment:
  - immutable.compose.fleet
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
options:
  release:
    description:
      - Plan the way to a kept release instead of to what the composition means now.
      - A number, V(current), or V(previous).
    type: str
  retire:
    description: Also list nodes that exist but are no longer part of the deployment.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Plan
  immutable.compose.plan:
  register: compose_plan
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
pending:
  description: Whether anything has to happen.
  type: bool
  returned: success
settled:
  description: Whether, besides, all nodes are marked as verified and there is nothing to clean up. A commit then leaves
    the platform alone.
  type: bool
  returned: success
steps:
  description: What has to happen to each node, by name.
  type: dict
  returned: success
  sample: {"node1": {"action": "replace", "role": "node", "why": ["another image"]}}
waves:
  description: Nodes to be created or replaced, as they go down together; see C(at_most) of the deployment.
  type: list
  elements: list
  returned: success
  sample: [["web1", "database"], ["web2"]]
images:
  description: Image identity that is meant for each role.
  type: dict
  returned: success
packages:
  description: Package differences (old and new version) of each role whose image changes.
  type: dict
  returned: success
current_release:
  description: The release that runs now; null before the first.
  type: dict
  returned: success
"""

from ansible_collections.immutable.compose.plugins.module_utils.deploy.step import run_step


def main() -> None:
    """Wire the module's arguments to the engine."""
    run_step(
        "plan",
        lambda engine, module: engine.plan(
            release=module.params["release"], retire=module.params["retire"], predict=module.check_mode
        ),
        {"release": {"type": "str"}, "retire": {"type": "bool", "default": False}},
        changes=False,
    )


if __name__ == "__main__":
    main()
