# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: composition_evaluate
short_description: Write what is known of a composition without building it
version_added: 0.1.0
description:
  - Reads the composition, checks its attributes and its test script; needs no network and builds nothing.
  - Writes C(composition.json) into the composition's directory, for inventories on hosts without Nix.
  - In check mode it says C(changed) if that file is missing, or not what it would write.
author: immutable.compose contributors (@immutable-compose)
extends_documentation_fragment:
  - immutable.compose.attributes.check
  - immutable.compose.attributes.diff
  - immutable.compose.fleet
options: {}
"""

EXAMPLES = r"""
- name: Evaluate
  immutable.compose.composition_evaluate:
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
        composition:
          description: The content of C(composition.json).
          type: dict
          returned: success
"""

from ansible_collections.immutable.compose.plugins.module_utils.fleet_module import run_step


def main() -> None:
    """Wire the module's arguments to the engine."""
    run_step("evaluate")


if __name__ == "__main__":
    main()
