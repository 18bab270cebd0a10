# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: config_push
short_description: Bring directories of nodes to the git revision that they follow
version_added: 0.1.0
description:
  - Roles may have directories that follow a git repository and a revision. The host that runs the deployment fetches
    what they are to be at and pushes it to the nodes. Those whose role says how often they look for themselves are told
    to look now.
  - A node takes a revision only if the check of its role passes, and goes back to what it had if its services cannot
    be told. Such a node keeps what it has, and is one of C(failed_nodes).
  - Nodes are told within C(at_most) of the deployment, and no further than to one that fails.
  - In check mode, what would be pushed is fetched and compared. Those that look for themselves are not told to.
author: immutable.compose contributors (@immutable-compose)
extends_documentation_fragment:
  - immutable.compose.attributes.check
  - immutable.compose.attributes.diff
  - immutable.compose.fleet
seealso:
  - module: immutable.compose.deployment_verify
"""

EXAMPLES = r"""
- name: Bring proxies to what their configuration is now
  immutable.compose.config_push:
  register: compose_config
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
nodes:
  description: NodeResult of each node, by name. C(follow) has the commit that each directory is at.
  type: dict
  returned: success
  sample:
    proxy1:
      ok: true
      changed: true
      message: "/etc/haproxy: 83cfe0c5d1a7 → 0a4f9b1c22de"
      follow: {/etc/haproxy: 0a4f9b1c22de6d1f3cd4c9c2a3f0a5a39b1b3e11}
failed_nodes:
  description: Nodes that are not at what they follow.
  type: list
  elements: str
  returned: success
"""

from ansible_collections.immutable.compose.plugins.module_utils.fleet_module import run_step


def main() -> None:
    """Wire the module to the engine."""
    run_step("config", {})


if __name__ == "__main__":
    main()
