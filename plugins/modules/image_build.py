# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image_build
short_description: Build the images of a deployment
version_added: 0.1.0
description:
  - Builds the images of the roles of the batch, in the formats that the platform needs; with a plan, of those roles
    whose nodes are to be created or replaced.
  - What is built already is not built again.
author: immutable.compose contributors (@immutable-compose)
extends_documentation_fragment:
  - immutable.compose.attributes.planned
  - immutable.compose.attributes.no_diff
  - immutable.compose.fleet
options:
  plan:
    description:
      - What M(immutable.compose.deployment_plan) returned, with O(immutable.compose.deployment_plan#module:hold).
      - What fails is told by M(immutable.compose.deployment_settle) then, and does not end the task.
    type: dict
  formats:
    description:
      - Build in these formats, instead of those that the platform needs. Not with a plan.
      - The formats are V(root), V(kernel), V(initrd), V(qcow2), V(raw), V(tar), V(oci), V(iso), V(vma), V(kexec),
        V(installed) and V(network). Which of them there are depends on the builder.
    type: list
    elements: str
    default: []
  reproducible:
    description: Build each image a second time, and fail if the two differ.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Build
  immutable.compose.image_build:
    plan: "{{ compose_plan }}"
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
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
        built:
          description: Roles whose images were really built.
          type: list
          elements: str
          returned: success
        bundles:
          description: Directory with the files of the image and its C(image.json), by role, of what is built now.
          type: dict
          returned: success
"""

from ansible_collections.immutable.compose.plugins.module_utils.fleet_module import run_step


def main() -> None:
    """Wire the module's arguments to the transaction, or to the engine."""
    run_step(
        "build",
        {
            "plan": {"type": "dict"},
            "formats": {"type": "list", "elements": "str", "default": []},
            "reproducible": {"type": "bool", "default": False},
        },
    )


if __name__ == "__main__":
    main()
