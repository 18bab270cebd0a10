# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: deployment_plan
short_description: Say what has to happen to each node of a deployment
version_added: 0.1.0
description:
  - Evaluates the composition, asks the platform what each node runs, and compares both.
  - Builds nothing and changes nothing; in check mode it says C(changed) if anything has to happen.
  - With C(--diff) the package differences of each role are shown.
author: immutable.compose contributors (@immutable-compose)
extends_documentation_fragment:
  - immutable.compose.attributes.check
  - immutable.compose.attributes.diff
  - immutable.compose.fleet
options:
  release:
    description:
      - Plan the way to a kept release instead of to what the composition means now.
      - A number, V(current), or V(previous).
    type: str
  replace:
    description: Nodes to be replaced in any case, even if they run what they should. Those of other batches are
      ignored.
    type: list
    elements: str
    default: []
  retire:
    description:
      - Also list nodes that exist but are no longer part of the deployment.
      - Only in the last batch of a run that is not limited, and whose inventory has every host of the deployment.
    type: bool
    default: false
  only:
    description:
      - Names of the deployments to plan, of those in the batch. By default all.
      - The task does not fail then. What fails is the result of its hosts.
    type: list
    elements: str
  hold:
    description:
      - The steps that follow do what is planned. Until M(immutable.compose.deployment_settle) the deployment belongs to
        this run; another run that would change it is refused, and told who is at work.
      - A deployment that is folded onto machines which are about to be booted, or to go, is put off. See RV(put_off).
      - Not in check mode.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show what a deploy would do
  immutable.compose.deployment_plan:
  register: compose_shown
  run_once: true
  delegate_to: localhost

- name: Plan, and have the deployments until they are settled
  immutable.compose.deployment_plan:
    hold: true
  register: compose_plan
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
put_off:
  description:
    - Deployments that are folded onto machines which the run is about to boot, or to retire.
    - They are no part of this plan, and for O(only) of another one, once this one is settled.
  type: list
  elements: str
  returned: if there are any
  sample: [site]
pending:
  description: Whether anything has to happen.
  type: bool
  returned: success
nodes:
  description:
    - What has to happen to each node, by name. Its C(action) is V(keep), V(refresh), V(create), V(replace) or
      V(retire).
  type: dict
  returned: success
  sample: {"node1": {"ok": true, "action": "replace", "role": "node", "image": "s3k1…-web-proxy",
                     "running": "9x2a…-web-proxy", "why": ["another image"]}}
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
        settled:
          description: Whether nothing has to happen, all nodes are marked as verified, and there is nothing to clean
            up. The settlement then leaves the platform alone.
          type: bool
          returned: success
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
        ends:
          description: Nodes of other deployments that end with their machines, which are of this one, by deployment.
            The run starts them again afterwards.
          type: dict
          returned: if there are any
          sample: {"site": ["db1", "web1"]}
        packages:
          description: Package differences (old and new version) of each role whose image changes.
          type: dict
          returned: success
"""

from ansible_collections.immutable.compose.plugins.module_utils.fleet_module import run_step


def main() -> None:
    """Wire the module's arguments to the transaction."""
    run_step(
        "plan",
        {
            "release": {"type": "str"},
            "replace": {"type": "list", "elements": "str", "default": []},
            "retire": {"type": "bool", "default": False},
            "only": {"type": "list", "elements": "str"},
            "hold": {"type": "bool", "default": False},
        },
    )


if __name__ == "__main__":
    main()
