# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: deployment_verify
short_description: Check that nodes run what they should, and work
version_added: 0.1.0
description:
  - Checks identity, systemd units, declared ports, and runs the composition's test script.
  - A failed check does not end the task; its node is listed in C(failed_nodes).
  - Writes C(results.json) and C(junit.xml) below C(results/verify) of the deployment's state directory.
author: immutable.compose contributors (@immutable-compose)
extends_documentation_fragment:
  - immutable.compose.attributes.planned
  - immutable.compose.attributes.no_diff
  - immutable.compose.fleet
options:
  plan:
    description:
      - What M(immutable.compose.deployment_plan) returned, with O(immutable.compose.deployment_plan#module:hold).
      - Nodes that run a verified image and are not well, though nothing was changed that could be the reason, are
        booted again once.
    type: dict
  release:
    description:
      - Instead of a plan, check what runs against this kept release. A number, V(current), or V(previous).
      - Changes nothing but the results. Machines that a test script switches off or unplugs are put back; in check
        mode, such a script is not run.
    type: str
  script:
    description: A test script, to run instead of that of O(release). Its results are C(results/script) then.
    type: str
  values:
    description:
      - Variables of O(script), besides those that each test script has. Plain data.
    type: dict
    default: {}
  checks:
    description:
      - Whether the built-in checks come before C(script). Without them, nodes have no result of their own; it is for
        who has verified them just before.
    type: bool
    default: true
  verify_timeout:
    description: Seconds for checks and O(script) together, in place of what the deployment file says.
    type: int
  drift:
    description:
      - As one more check, hold the files, units and accounts of each node against the image of O(release), as
        M(immutable.compose.drift_info) does.
    type: bool
  drift_ignore:
    description: Files that may differ, each with the reason, as in M(immutable.compose.drift_info).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Verify what was switched
  immutable.compose.deployment_verify:
    plan: "{{ compose_plan }}"
  run_once: true
  delegate_to: localhost

- name: Verify what was released
  immutable.compose.deployment_verify:
    release: current
  register: compose_verify
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
asked:
  description:
    - Host → hook that has to run for it before the task, repeated, goes on; with C(file) and C(token). What became of
      it is the host's variable C(deploy_hooked), with C(token) and C(message), which is empty if all is well.
    - The role P(immutable.compose.deploy#role) does all of this.
  type: dict
  returned: where the deployment file has C(hooks) and one of them is due
  sample: {"node1": {"hook": "drain", "file": "/srv/site/hooks/drain.yml", "token": "0d9c"}}
failed_nodes:
  description: Nodes with a failed check.
  type: list
  elements: str
  returned: success
nodes:
  description: Result of each node, by name.
  type: dict
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
        checks:
          description: How many checks passed and failed.
          type: dict
          returned: success
          sample: {"passed": 12, "failed": 0}
        message:
          description: Why the test script failed; empty if it did not. What failed at a node is in its C(message) in
            RV(nodes).
          type: str
          returned: success
        records:
          description: What the script has recorded, each with C(name), C(value) and C(unit).
          type: list
          elements: dict
          returned: when O(script) is given
        results:
          description: Directory of the script's results, on the host that runs the step.
          type: str
          returned: when O(script) is given
        files:
          description: What the script copied from machines, relative to the directory of its results.
          type: list
          elements: str
          returned: when O(script) is given
        provenance:
          description: What the script ran on.
          type: dict
          returned: when O(script) is given
"""

from ansible_collections.immutable.compose.plugins.module_utils.fleet_module import run_step


def main() -> None:
    """Wire the module's arguments to the transaction, or to the engine."""
    run_step(
        "verify",
        {
            "plan": {"type": "dict"},
            "release": {"type": "str"},
            "script": {"type": "str"},
            "values": {"type": "dict", "default": {}},
            "checks": {"type": "bool", "default": True},
            "verify_timeout": {"type": "int"},
            "drift": {"type": "bool"},
            "drift_ignore": {"type": "dict", "default": {}},
        },
        required_one_of=[("plan", "release")],
        mutually_exclusive=[("plan", "release"), ("plan", "script", "drift")],
    )


if __name__ == "__main__":
    main()
