# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: deployment_page
short_description: Make a page of what became of a deployment
version_added: 0.2.0
description:
  - Writes one HTML file that needs nothing else. It has the time line of the last run, with each node; which nodes are
    not well, and why; which packages changed; the checks with what they said; the kept releases; and what
    M(immutable.compose.drift_info) and M(immutable.compose.audit_info) have found, as far as they were asked.
  - It is made of what the state directory has. Nothing is asked of a node or a platform.
  - Needs Jinja2 3.0 on the host that it runs on.
author: immutable.compose contributors (@immutable-compose)
extends_documentation_fragment:
  - immutable.compose.attributes.check
  - immutable.compose.attributes.no_diff
  - immutable.compose.fleet
options:
  plan:
    description:
      - What M(immutable.compose.deployment_plan) returned, registered. Then no page is made of deployments that it has
        refused, for they had no run; and what fails does not fail the task.
    type: dict
seealso:
  - module: immutable.compose.deployment_settle
"""

EXAMPLES = r"""
- name: Make the page
  immutable.compose.deployment_page:
  register: compose_done
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
        page:
          description: Path of the page, on the host that runs the deployment.
          type: str
          returned: success
          sample: /var/lib/immutable-compose/demo/results/report.html
"""

from ansible_collections.immutable.compose.plugins.module_utils.fleet_module import run_step


def main() -> None:
    """Wire the module to the page."""
    run_step("page", {"plan": {"type": "dict"}})


if __name__ == "__main__":
    main()
