# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: experiment_run
short_description: Run a script on deployments for each combination of parameters
version_added: 0.1.0
description:
  - For each combination of an experiment file, brings a deployment to what that needs by the shortest way, runs a
    script with the machines of test scripts, and keeps what it records and copies in a directory of results.
  - Starts C(ansible-playbook) for each trial, with the inventory sources, extra variables and password files of its own
    run. Runs on the controller only, without a connection.
  - What was done is not done again. Several runs may share the trials, each as another of the C(runners) of the file.
author: immutable.compose contributors (@immutable-compose)
requirements:
  - execo
  - pyarrow for the table as Parquet
  - vl-convert-python for the plots
extends_documentation_fragment:
  - immutable.compose.attributes.check
  - immutable.compose.attributes.no_diff
attributes:
  action:
    description: Indicates this has a corresponding action plugin so some parts of the options can be executed on the
      controller.
    support: full
options:
  file:
    description: The experiment file.
    type: path
    required: true
  results:
    description: Directory for the results, which is made. The default is C(results/NAME) beside the file.
    type: path
  runner:
    description: Which of the C(runners) of the file this run is; empty where it names none.
    type: str
    default: ""
seealso:
  - module: immutable.compose.deployment_verify
"""

EXAMPLES = r"""
- name: Run the trials
  immutable.compose.experiment_run:
    file: "{{ playbook_dir }}/fs.experiment.yml"
  register: experiment_result
"""

RETURN = r"""
results:
  description: Directory of the results.
  type: str
  returned: success
page:
  description: The page that reports the experiment.
  type: str
  returned: not in check mode
done:
  description: Trials that this run has done.
  type: list
  elements: str
  returned: not in check mode
failures:
  description: Trial → why it failed.
  type: dict
  returned: not in check mode
left:
  description: Trials that are not done.
  type: list
  elements: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Everything is done by the action plugin."""
    module = AnsibleModule(
        {
            "file": {"type": "path", "required": True},
            "results": {"type": "path"},
            "runner": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    module.fail_json(msg="the action plugin of this module did not run")


if __name__ == "__main__":
    main()
