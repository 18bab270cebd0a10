# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oar_job_info
short_description: Say which jobs OAR has, and on which nodes
version_added: 0.1.0
description:
  - Reads the jobs of a user that have not ended, or one job, ended or not.
  - Never changes anything.
author: immutable.compose contributors (@immutable-compose)
extends_documentation_fragment:
  - immutable.compose.attributes.check
  - immutable.compose.attributes.no_diff
  - immutable.compose.oar
options:
  name:
    description: Only the jobs of that name.
    type: str
  job_id:
    description: Only the job with that number, whoever has it, and also if it has ended.
    type: int
  user:
    description: Whose jobs. The default is who asks.
    type: str
seealso:
  - module: immutable.compose.oar_job
"""

EXAMPLES = r"""
- name: Ask for the nodes of a reservation
  immutable.compose.oar_job_info:
    frontend: grenoble.g5k
    name: web
  register: reservation

- name: Go on only with running jobs
  ansible.builtin.assert:
    that: reservation.jobs | selectattr('state', 'eq', 'Running') | length == 1
"""

RETURN = r"""
jobs:
  description: The jobs, in order of their numbers. See RV(immutable.compose.oar_job#module:job).
  type: list
  elements: dict
  returned: success
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.immutable.compose.plugins.module_utils.oar.results import Listed, ShownJob
from ansible_collections.immutable.compose.plugins.module_utils.oar.task import ACCESS_SPEC, access, run


def read(params: t.Mapping[str, t.Any]) -> Listed:
    """The module's result."""
    site = access(params).open()
    if params["job_id"] is not None:
        job = site.job(params["job_id"])
        return Listed([ShownJob.of(job)] if job else [])
    jobs = [job for job in site.jobs(params["user"]) if params["name"] in (None, job.name)]
    return Listed([ShownJob.of(job) for job in jobs])


def main() -> None:
    """Wire the module's arguments to a site."""
    module = AnsibleModule(
        {**ACCESS_SPEC, "name": {"type": "str"}, "job_id": {"type": "int"}, "user": {"type": "str"}},
        mutually_exclusive=[("job_id", "name"), ("job_id", "user")],
        supports_check_mode=True,
    )
    run(module, lambda: read(module.params))


if __name__ == "__main__":
    main()
