# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image_reproduce
short_description: Build every image a second time and compare
version_added: 0.1.0
description:
  - Builds the image of every role of the composition in the formats that the platform needs, then again.
  - A difference does not end the task; RV(deployments.NAME.images) says what differs.
author: immutable.compose contributors (@immutable-compose)
extends_documentation_fragment:
  - immutable.compose.attributes.planned
  - immutable.compose.attributes.no_diff
  - immutable.compose.fleet
options: {}
"""

EXAMPLES = r"""
- name: Check that every image is reproducible
  immutable.compose.image_reproduce:
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
        images:
          description: What differs in each image, by composition and role; empty if it is bit-identical.
          type: dict
          returned: success
          sample: {"nfs/server": ""}
"""

from ansible_collections.immutable.compose.plugins.module_utils.fleet_module import run_step


def main() -> None:
    """Wire the module's arguments to the engine."""
    run_step("reproduce")


if __name__ == "__main__":
    main()
