# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: experiment_record
short_description: Write down what a trial of an experiment has measured
version_added: 0.1.0
description:
  - Writes what a script has recorded to C(measured.json), from where M(immutable.compose.experiment_run) takes it.
  - Runs on the controller only, without a connection.
author: immutable.compose contributors (@immutable-compose)
extends_documentation_fragment:
  - immutable.compose.attributes.check
  - immutable.compose.attributes.no_diff
attributes:
  action:
    description: Indicates this has a corresponding action plugin so some parts of the options can be executed on the
      controller.
    support: full
options:
  result:
    description:
      - What M(immutable.compose.deployment_verify) returned that ran the script on one deployment, with
        O(immutable.compose.deployment_verify#module:script).
    type: dict
    required: true
  directory:
    description: Directory of the trial on the controller.
    type: path
    required: true
seealso:
  - module: immutable.compose.experiment_run
"""

EXAMPLES = r"""
- name: Measure
  immutable.compose.deployment_verify:
    release: current
    script: record("nodes", len(machines))
  register: measured
  run_once: true
  delegate_to: localhost

- name: Keep what was measured
  immutable.compose.experiment_record:
    result: "{{ measured }}"
    directory: "{{ playbook_dir }}"
  run_once: true
"""

RETURN = r"""
ok:
  description: Whether the script ran to its end, on nodes that were well.
  type: bool
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Everything is done by the action plugin."""
    module = AnsibleModule(
        {"result": {"type": "dict", "required": True}, "directory": {"type": "path", "required": True}},
        supports_check_mode=True,
    )
    module.fail_json(msg="the action plugin of this module did not run")


if __name__ == "__main__":
    main()
