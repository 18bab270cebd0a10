# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: drift_info
short_description: Find nodes that are not what was released any more
version_added: 0.1.0
description:
  - Holds each node against the image of the current release. Tells files that were changed, added or deleted, units of
    systemd that were masked, enabled or disabled or have failed, accounts, and whether the node runs another image.
  - Also tells of nodes that were changed though they are sealed, see P(immutable.compose.sealed_ssh#connection).
  - Nodes need no Python. Nothing is changed, and something that has drifted does not end the task; see C(failed_nodes).
  - What is mounted below the root file system is not looked at. Files and accounts of images of the builder V(debian)
    are compared on platforms that boot them from their root file system (V(nspawn), V(qemu)); those of V(nixos) and
    V(guix) by what the node has in its store. Elsewhere it is said that they were not, and all else is compared.
author: immutable.compose contributors (@immutable-compose)
extends_documentation_fragment:
  - immutable.compose.attributes.check
  - immutable.compose.attributes.no_diff
  - immutable.compose.fleet
options:
  ignore:
    description:
      - Files that may differ, besides those that every node writes. The key is a path or a pattern such as
        V(/opt/app/cache/*), in which C(*) also stands for slashes; the value is why.
    type: dict
    default: {}
seealso:
  - module: immutable.compose.deployment_verify
"""

EXAMPLES = r"""
- name: Look for drift
  immutable.compose.drift_info:
    ignore:
      /opt/app/cache/*: the application keeps it, and makes it anew
  register: compose_drift
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
nodes:
  description:
    - By name of each node, whether it is C(ok), a C(message) with all that has C(drifted), and the same as lists.
    - C(files) and C(users) have C(changed), C(added) and C(deleted); C(units) have C(masked), C(unmasked), C(enabled),
      C(disabled) and C(failed). C(running) is the image, if that is another one. C(unsealed) has reasons. C(unknown)
      has what could not be compared.
  type: dict
  returned: success
  sample:
    web1:
      ok: false
      drifted: true
      message: "files changed: /etc/nginx/nginx.conf; users added: mallory"
      files: {changed: [/etc/nginx/nginx.conf]}
      users: {added: [mallory]}
failed_nodes:
  description: Nodes that have drifted, or of which nothing is known.
  type: list
  elements: str
  returned: success
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
        drifted:
          description: Nodes that have drifted.
          type: list
          elements: str
          returned: success
        release:
          description: Number of the release that they are held against.
          type: int
          returned: success
        unknown:
          description: What could not be compared, and why.
          type: list
          elements: str
          returned: success
"""

from ansible_collections.immutable.compose.plugins.module_utils.fleet_module import run_step


def main() -> None:
    """Wire the module's arguments to the comparison."""
    run_step("drift", {"ignore": {"type": "dict", "default": {}}})


if __name__ == "__main__":
    main()
