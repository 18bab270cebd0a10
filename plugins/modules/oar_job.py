# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oar_job
short_description: Reserve machines with OAR, and give them back
version_added: 0.1.0
description:
  - Submits a job that holds nodes, waits until it runs, gives it more time, or releases it.
  - The job is found again by its name. A task that is run again, or after it was killed, never reserves a second time.
    A job of that name that is not what is asked for is refused; what the task does not say is not compared.
  - A job that was submitted by a task and is not running after its O(timeout), or whose task is interrupted, is
    released again. What could not be released is said.
  - See C(docs/reservations.md).
author: immutable.compose contributors (@immutable-compose)
extends_documentation_fragment:
  - immutable.compose.attributes.diff
  - immutable.compose.oar
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
    details: OAR is asked for the jobs that there are, and for nothing else. Whether it would accept a new one is not
      known.
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second invocation indicates
      no change.
    support: full
options:
  name:
    description: Name of the job. Letters, digits, V(.), V(_) and V(-). Required but for O(state=absent) with O(job_id).
    type: str
  state:
    description: V(present) has the job reserved, V(absent) released.
    type: str
    choices: [present, absent]
    default: present
  job_id:
    description: Job to release, instead of that of O(name). Only with O(state=absent).
    type: int
  nodes:
    description: How many whole nodes. Required with O(state=present).
    type: int
  walltime:
    description:
      - For how long, as V(H:M:S), V(H:M), or a number of seconds. Required with O(state=present).
      - Put it in quotes. Without them YAML makes V(90) of V(1:30), which is a minute and a half.
    type: str
  properties:
    description: What the nodes must be, in SQL, as C(oarsub -p) takes it. For example V(cluster='dahu').
    type: str
  queue:
    description: Queue. The default is the site's.
    type: str
  types:
    description: Types of the job, as C(oarsub -t) takes them. V(deploy) is for machines that are to boot another
      system, V(container) for a job that has others inside, which have V(inner=ID) with its id.
    type: list
    elements: str
    default: []
  start:
    description: For a reservation in advance, when it starts, as V(YYYY-MM-DD HH:MM:SS) by the site's clock.
    type: str
  project:
    description: Project of the job.
    type: str
  command:
    description: What the job runs. Its end is that of the job.
    type: str
    default: sleep infinity
  extend:
    description: Give a job that is there and has a shorter walltime the time that it lacks (C(oarwalltime)). OAR does
      so for running jobs. Without it such a job is refused.
    type: bool
    default: false
  wait:
    description: Wait until the job runs, or with O(state=absent) until it has ended.
    type: bool
    default: true
  timeout:
    description: Seconds to wait for the job to run. Those of a reservation in advance begin at its start.
    type: int
    default: 3600
  progress_file:
    description: File for lines of progress. Filled in by the action plugin.
    type: path
  run:
    description: The run that the task is part of. What a run that was killed leaves at work releases nothing that the
      next one may have. Filled in by the action plugin.
    type: dict
seealso:
  - module: immutable.compose.oar_job_info
"""

EXAMPLES = r"""
- name: Reserve 42 nodes for a deployment
  immutable.compose.oar_job:
    frontend: grenoble.g5k
    name: web
    nodes: 42
    walltime: "3:20:0"
    types: [deploy]
    properties: cluster='dahu'
  register: reservation

- name: Show the nodes
  ansible.builtin.debug:
    var: reservation.job.nodes

- name: Reserve for tonight, by the API of Grid'5000
  immutable.compose.oar_job:
    interface: grid5000
    site: grenoble
    username: "{{ g5k_user }}"
    password: "{{ g5k_password }}"
    name: tonight
    nodes: 4
    walltime: "10:0:0"
    start: "2027-01-30 19:00:00"
    types: [deploy]
    wait: false

- name: Have the job for five hours instead
  immutable.compose.oar_job:
    frontend: grenoble.g5k
    name: web
    nodes: 42
    walltime: "5:0:0"
    types: [deploy]
    properties: cluster='dahu'
    extend: true

- name: Give it back
  immutable.compose.oar_job:
    frontend: grenoble.g5k
    name: web
    state: absent
"""

RETURN = r"""
job:
  description: The job; null if there is none. RV(job.nodes) does not mean that it runs, RV(job.state) does.
  type: dict
  returned: success
  contains:
    id:
      description: Number of the job.
      type: int
      returned: success
    name:
      description: Its name.
      type: str
      returned: success
    user:
      description: Whose it is.
      type: str
      returned: success
    state:
      description: State, as OAR calls it. V(Error) is also the end of a job that was released, or whose time is over.
      type: str
      returned: success
      sample: Running
    ended:
      description: Whether it holds nothing any more.
      type: bool
      returned: success
    nodes:
      description: Nodes that it has, or is going to have.
      type: list
      elements: str
      returned: success
    walltime:
      description: Its time in seconds.
      type: int
      returned: success
    start:
      description: Since when it runs, or when OAR means to start it; null if it does not say.
      type: str
      returned: success
      sample: "2027-01-30 18:00:00 UTC"
    end:
      description: When its time is over; null while the start is not known.
      type: str
      returned: success
    queue:
      description: Its queue.
      type: str
      returned: success
    types:
      description: Its types.
      type: list
      elements: str
      returned: success
    properties:
      description: What its nodes must be, with what the site has added.
      type: str
      returned: success
    project:
      description: Its project.
      type: str
      returned: success
    message:
      description: What OAR says about it.
      type: str
      returned: success
    events:
      description: What happened to it, each with C(type) and C(description).
      type: list
      elements: dict
      returned: success
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.immutable.compose.plugins.module_utils.deploy.run import Run
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.step import Diff
from ansible_collections.immutable.compose.plugins.module_utils.oar.desk import Desk, Outcome
from ansible_collections.immutable.compose.plugins.module_utils.oar.request import COMMAND, Request, hms, request
from ansible_collections.immutable.compose.plugins.module_utils.oar.results import Reserved, ShownJob
from ansible_collections.immutable.compose.plugins.module_utils.oar.task import ACCESS_SPEC, access, run
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress


def wish(params: t.Mapping[str, t.Any]) -> Request | None:
    """What is asked for; ``None`` if that is the end of a job.

    :raises InputError: it cannot be.
    """
    if params["state"] == "absent":
        return None
    if params["job_id"] is not None:
        raise InputError("job_id is for state: absent; a job that is to be there needs a name")
    return request(
        name=params["name"],
        nodes=params["nodes"],
        walltime=params["walltime"],
        start=params["start"],
        types=params["types"],
        properties=params["properties"],
        queue=params["queue"],
        project=params["project"],
        command=params["command"],
    )


def differing(outcome: Outcome, asked: Request | None) -> list[Diff]:
    """What has changed, as Ansible shows it."""
    if not outcome.changed:
        return []
    before, job = outcome.before, outcome.job
    old = f"{before}, {hms(before.walltime or 0)}\n" if before else ""
    new = ""
    if asked is not None:
        new = f"{job}, {hms(job.walltime or 0)}\n" if before and job else f"{asked.name}: {asked}\n"
    return [Diff("job", "job", old, new)]


def act(module: AnsibleModule, progress: Progress) -> Reserved:
    """The module's result."""
    params = module.params
    asked = wish(params)
    whose = Run(**params["run"]) if params["run"] else None

    def alone() -> bool:
        return progress.forgotten or (whose is not None and whose.alive is False)

    desk = Desk(access(params).open(), progress, dry=bool(module.check_mode), alone=alone)
    if asked is None:
        outcome = desk.release(params["name"], params["job_id"], wait=params["wait"])
    else:
        wait = float(params["timeout"]) if params["wait"] else None
        outcome = desk.reserve(asked, extend=params["extend"], wait=wait)
    job = ShownJob.of(outcome.job) if outcome.job else None
    return Reserved(outcome.changed, job, differing(outcome, asked))


def main() -> None:
    """Wire the module's arguments to the desk."""
    module = AnsibleModule(
        {
            **ACCESS_SPEC,
            "name": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "job_id": {"type": "int"},
            "nodes": {"type": "int"},
            "walltime": {"type": "str"},
            "properties": {"type": "str"},
            "queue": {"type": "str"},
            "types": {"type": "list", "elements": "str", "default": []},
            "start": {"type": "str"},
            "project": {"type": "str"},
            "command": {"type": "str", "default": COMMAND},
            "extend": {"type": "bool", "default": False},
            "wait": {"type": "bool", "default": True},
            "timeout": {"type": "int", "default": 3600},
            "progress_file": {"type": "path"},
            "run": {"type": "dict"},
        },
        required_if=[
            ("state", "present", ("name", "nodes", "walltime")),
            ("state", "absent", ("name", "job_id"), True),
        ],
        mutually_exclusive=[("name", "job_id")],
        supports_check_mode=True,
    )
    with Progress(module.params["progress_file"]) as progress:
        run(module, lambda: act(module, progress))


if __name__ == "__main__":
    main()
