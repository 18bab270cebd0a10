# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image_stage
short_description: Bring images to where the platform needs them
version_added: 0.1.0
description:
  - Touches nothing that runs.
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
"""

EXAMPLES = r"""
- name: Stage
  immutable.compose.image_stage:
    plan: "{{ compose_plan }}"
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
changed:
  description: Whether anything was staged.
  type: bool
  returned: always
"""

from ansible_collections.immutable.compose.plugins.module_utils.fleet_module import run_step


def main() -> None:
    """Wire the module's arguments to the transaction."""
    run_step("stage", {"plan": {"type": "dict", "required": True}})


if __name__ == "__main__":
    main()
