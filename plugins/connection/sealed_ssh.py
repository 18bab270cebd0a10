# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connection plugin: Ansible's ``ssh``, for nodes that are not to be changed."""

from __future__ import annotations

DOCUMENTATION = r"""
name: sealed_ssh
short_description: SSH to nodes that are replaced, not changed
version_added: 0.1.0
author:
  - immutable.compose contributors (@immutable-compose)
description:
  - The connection plugin P(ansible.builtin.ssh#connection), which lets a task through only if it does not change the
    node. What is changed on a node of a composition is gone when it boots again.
  - Facts, actions that only read, command lines that only look, and tasks in check mode are let through. All else is
    refused before anything is sent to the node, with the composition, the role and the file to edit.
  - From a controller that is not the host which runs the nodes, they are reached over that host, and nothing has to be
    there but what the inventory and the run bring along.
  - The inventory plugin P(immutable.compose.composition#inventory) sets it for the nodes that a deployment makes.
options:
  sealed:
    description:
      - What happens to a task that may change the node. V(refuse) fails it, V(warn) only warns, V(off) lets it through.
      - C(sealed) in the deployment file.
    type: str
    choices: [refuse, warn, "off"]
    default: refuse
    vars:
      - name: compose_sealed
  read_only:
    description:
      - Actions of which you know that they only read, besides those that the plugin knows. Names with their collection,
        or patterns such as V(my.own.show_*).
    type: list
    elements: str
    default: []
    vars:
      - name: immutable_read_only
  unseal:
    description:
      - Why the node has to be changed nevertheless. Tasks are let through, and the node keeps a record of each until it
        boots again, which P(immutable.compose.deployment_verify#module) tells.
    type: str
    vars:
      - name: immutable_unseal
  compose_host:
    description:
      - The host that runs the deployment. If it is not the controller, nodes are reached over it, with the host keys
        and addresses that it has, and a key of the run with a certificate that it signs.
      - It is reached as its own variables say, by SSH and without a password being asked for.
    type: str
    default: localhost
    vars:
      - name: compose_host
  state:
    description: Directory of the deployment on O(compose_host).
    type: str
    vars:
      - name: compose_state
  node:
    description: Name of the node.
    type: str
    vars:
      - name: inventory_hostname
  role:
    description: Role of the node.
    type: str
    vars:
      - name: compose_role
  composition:
    description: Directory of the composition.
    type: str
    vars:
      - name: compose_composition
  composition_name:
    description: Name of the composition.
    type: str
    vars:
      - name: compose_composition_name
  task_action:
    description: The task's action.
    type: str
    keyword:
      - name: action
  task_arguments:
    description: The action's arguments.
    type: raw
    keyword:
      - name: args
  task_collections:
    description: Where the task looks for actions.
    type: raw
    keyword:
      - name: collections
  task_delegated_to:
    description: Name of the node, if the task is one of another host.
    type: str
    keyword:
      - name: delegate_to
  task_in_check_mode:
    description: Whether the task only shows what it would do.
    type: bool
    keyword:
      - name: check_mode
  task_seconds_in_background:
    description: How long the task may go on in the background.
    type: int
    keyword:
      - name: async_val
extends_documentation_fragment:
  - connection_pipelining
  - immutable.compose.ssh_connection
"""

EXAMPLES = r"""
- name: Look at nodes, which is let through, and change them nevertheless
  hosts: immutable
  gather_facts: false
  tasks:
    - name: Look
      ansible.builtin.raw: cat /etc/os-release
      changed_when: false

    - name: Change what is gone when the node boots again, and leave a record of it
      ansible.builtin.raw: touch /run/maintenance
      changed_when: true
      vars:
        immutable_unseal: the maintenance of Sunday
"""

import json
import os
import shlex
import time
import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.connection.ssh import Connection as SSH
from ansible.utils.display import Display
from ansible.vars.hostvars import HostVars

from ansible_collections.immutable.compose.plugins.module_utils.nodes.probe import UNSEALED
from ansible_collections.immutable.compose.plugins.plugin_utils.connections import (
    LONGEST,
    control_directory,
    ssh_arguments,
    ssh_config_in,
)
from ansible_collections.immutable.compose.plugins.plugin_utils.sealing import Act
from ansible_collections.immutable.compose.plugins.plugin_utils.way_in import HERE, Gate, way_in, whoami

display = Display()

#: What a composition may be written in, see the pages of the builders.
SOURCES = ("composition.nix", "compositions.nix", "composition.yml", "composition.scm", "hive.nix", "flake.nix")


class Connection(SSH):
    """Everything goes through two methods: commands and modules through one, files through the other."""

    transport = "immutable.compose.sealed_ssh"

    #: Name of the action that was let through last.
    _passed = ""
    #: Of the running task.
    _hostvars: HostVars | None = None

    def update_vars(self, variables: dict[str, t.Any]) -> None:
        """See what else the inventory knows: only here are the variables of other hosts."""
        self._hostvars = variables.get("hostvars")
        super().update_vars(variables)

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a command on the node, if the task may."""
        self._guard()
        result: tuple[int, bytes, bytes] = super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        return result

    def put_file(self, in_path: str, out_path: str) -> tuple[int, bytes, bytes]:  # type: ignore[override]  # as SSH
        """Copy a file to the node, if the task may."""
        self._guard()
        result: tuple[int, bytes, bytes] = super().put_file(in_path, out_path)
        return result

    def fetch_file(self, in_path: str, out_path: str) -> tuple[int, bytes, bytes]:  # type: ignore[override]  # as SSH
        """Copy a file from the node."""
        self._find()
        result: tuple[int, bytes, bytes] = super().fetch_file(in_path, out_path)
        return result

    def set_options(
        self,
        task_keys: dict[str, t.Any] | None = None,
        var_options: dict[str, t.Any] | None = None,
        direct: dict[str, t.Any] | None = None,
    ) -> None:
        """Keep connections apart by deployment, wherever Ansible's own files are on this controller."""
        super().set_options(task_keys=task_keys, var_options=var_options, direct=direct)
        if self._way_of_deployment():
            directory = control_directory(self.get_option("state"))
            self.set_option("control_path_dir", directory)
            if len(directory) > LONGEST:
                self.set_option("control_path", "none")  # each task connects anew

    def _way_of_deployment(self) -> str:
        """The arguments by which the inventory plugin has the node reached; empty if other variables won over it."""
        state = self.get_option("state")
        way = ssh_arguments(ssh_config_in(state)) if state else ""
        return way if way and way in (self.get_option("ssh_common_args") or "") else ""

    def _find(self) -> None:
        """Find the way to the node.

        :raises AnsibleConnectionFailure: the host that it leads over cannot be used.
        """
        way, host = self._way_of_deployment(), self.get_option("compose_host") or HERE[0]
        if not way or host in HERE:
            return
        gate = Gate(host, self._hostvars, self._play_context)
        if not gate.is_here:
            mine = ssh_arguments(way_in(self.get_option("state"), gate))
            self.set_option("ssh_common_args", self.get_option("ssh_common_args").replace(way, mine))

    def reset(self) -> None:
        """End the connection that is kept. No way is needed for that, and between tasks nobody knows one."""
        arguments, way = self.get_option("ssh_common_args"), self._way_of_deployment()
        if way:
            self.set_option("ssh_common_args", arguments.replace(way, ssh_arguments("none")))
        super().reset()
        self.set_option("ssh_common_args", arguments)

    def _guard(self) -> None:
        """:raises AnsibleError: a failed task. It is no failed connection, which would drop the host from the play."""
        act = Act(
            str(self.get_option("task_action")),
            self.get_option("task_arguments") or {},
            self.get_option("task_collections") or (),
            bool(self.get_option("task_in_check_mode")),
            bool(self.get_option("task_seconds_in_background")),
        )
        if self.get_option("sealed") == "off" or not act.may_change(self.get_option("read_only")):
            self._find()
            return
        reason, node = (self.get_option("unseal") or "").strip(), self._node
        action = act.name
        if reason or self.get_option("sealed") == "warn":
            self._find()
        if reason:
            display.warning(f"{node} is unsealed ({reason}): what tasks change on it is gone when it boots again")
            self._record(action, reason)
        elif self.get_option("sealed") == "warn":
            display.warning(f"{node}: {action} may change it, and that is gone when it boots again. {self._instead()}")
        else:
            raise AnsibleError(
                f"{node} is sealed: {action} may change it, and that would be gone when it boots again."
                f" {self._instead()} A play that is not meant for it has 'hosts: all:!immutable'. If the node must be"
                " changed as it is: immutable_unseal='the reason'"
            )

    @property
    def _node(self) -> str:
        """Its name: variables of a task that is delegated say the host's that it is delegated from."""
        return str(self.get_option("task_delegated_to") or self.get_option("node"))

    def _instead(self) -> str:
        directory = self.get_option("composition") or ""
        files = [os.path.join(directory, name) for name in SOURCES]
        where = next((file for file in files if os.path.isfile(file)), directory)
        role, composition = self.get_option("role"), self.get_option("composition_name")
        return f"Edit role {role!r} of composition {composition!r} in {where}, and deploy."

    def _record(self, action: str, reason: str) -> None:
        """Leave word on the node, where it is gone with what it is about. Not without it: somebody may need to help."""
        if action == self._passed:
            return
        self._passed = action
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "by": whoami(),
            "action": action,
            "reason": reason,
        }
        line = shlex.quote(json.dumps(entry))
        command = f"mkdir -p {os.path.dirname(UNSEALED)} && echo {line} >> {UNSEALED}"
        code, _said, error = super().exec_command(f"/bin/sh -c {shlex.quote(command)}", sudoable=False)
        if code:
            display.warning(f"{self._node}: that it is unsealed cannot be recorded there: {error!r}")
