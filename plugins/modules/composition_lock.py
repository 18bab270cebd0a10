# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: composition_lock
short_description: Pin the packages of a composition
version_added: 0.1.0
description:
  - Resolves the packages of every role against the configured mirror, and writes the lock file next to the composition.
  - For the builder C(debian), also allocates numbers to users and groups, which it keeps. To know which the packages
    make, it installs them, as a build does.
  - Builds take their inputs from the lock only.
author: immutable.compose contributors (@immutable-compose)
extends_documentation_fragment:
  - immutable.compose.attributes.check
  - immutable.compose.attributes.diff
  - immutable.compose.fleet
options: {}
"""

EXAMPLES = r"""
- name: Pin the packages
  immutable.compose.composition_lock:
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
        path:
          description: The lock file.
          type: str
          returned: success
"""

from ansible_collections.immutable.compose.plugins.module_utils.fleet_module import run_step


def main() -> None:
    """Wire the module's arguments to the engine."""
    run_step("lock")


if __name__ == "__main__":
    main()
