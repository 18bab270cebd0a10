# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment for a program in Python: deployed, read and destroyed by Ansible's own commands.

Those may be of another environment than the program's: EnOSlib wants an older Ansible than the collection does.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import typing as t
from collections import deque
from dataclasses import dataclass

#: Variables of a node that are for this collection's own connection plugin, or say nothing about how it is reached.
_NOT_THE_WAY = ("ansible_connection", "ansible_host", "ansible_local")
#: Last lines of a command's output that an error has.
_LINES = 20
#: Seconds for reading an inventory, in which compositions are evaluated.
_READING = 600.0


class DeploymentError(Exception):
    """What is wrong, with what Ansible says of it."""


@dataclass(frozen=True)
class Node:
    """A node, as the inventory has it."""

    name: str
    deployment: str
    role: str
    #: How SSH is told to reach it: a name of its ``ssh_config``, or the address of a host of another source.
    address: str
    #: The network of the deployment, as ``10.87.0.0/16``.
    network: str
    #: Ansible's variables for reaching it, by OpenSSH: user, port, options.
    way: t.Mapping[str, t.Any]


class Deployment:
    """A deployment of an inventory.

    :param inventory: path of a source of Ansible's, or of a directory with some.
    :param name: of the deployment; may be left out where there is only one.
    :param ansible: directory with the commands of the Ansible that has the collection; else they are those in ``PATH``.
    """

    def __init__(self, inventory: str, name: str | None = None, ansible: str | None = None) -> None:
        self._inventory = inventory
        self._name = name
        self._ansible = ansible

    def nodes(self) -> list[Node]:
        """Its nodes, by name.

        :raises DeploymentError: the inventory is wrong, is not read in time, or has no such deployment.
        """
        command = [self._command("ansible-inventory"), "-i", self._inventory, "--list"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, env=self._environment(), check=False, timeout=_READING
            )
        except subprocess.TimeoutExpired:
            raise DeploymentError(f"{shlex.join(command)}: no answer within {_READING:.0f} s") from None
        if done.returncode:
            raise _failed(command, done.returncode, done.stderr.splitlines()[-_LINES:])
        variables: dict[str, dict[str, t.Any]] = json.loads(done.stdout)["_meta"]["hostvars"]
        nodes = [_node(name, each) for name, each in sorted(variables.items()) if "compose_deployment" in each]
        names = sorted({node.deployment for node in nodes})
        if self._name is not None and self._name not in names:
            raise DeploymentError(f"no deployment {self._name!r} in {self._inventory}: {', '.join(names) or 'none'}")
        if self._name is None and len(names) != 1:
            raise DeploymentError(f"which deployment of {self._inventory}? {', '.join(names) or 'there is none'}")
        return [node for node in nodes if self._name in (None, node.deployment)]

    def deploy(self) -> list[Node]:
        """Deploy it; what runs already as it should is left alone. :returns: its nodes.

        :raises DeploymentError: with the last lines of what Ansible said. What was changed has gone back.
        """
        self._play("deploy")
        return self.nodes()

    def destroy(self) -> None:
        """Remove its machines; their data stay.

        :raises DeploymentError: with the last lines of what Ansible said.
        """
        self._play("destroy")

    def _play(self, playbook: str) -> None:
        limit = f"deployment_{self.nodes()[0].deployment.replace('-', '_')}"
        command = [self._command("ansible-playbook"), "-i", self._inventory, "--limit", limit]
        command.append(f"immutable.compose.{playbook}")
        process = subprocess.Popen(
            command,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        last: deque[str] = deque(maxlen=_LINES)
        for line in t.cast("t.IO[str]", process.stdout):
            print(line, end="", flush=True)  # also in a notebook
            last.append(line.rstrip("\n"))
        if process.wait():
            raise _failed(command, process.returncode, last)

    def _command(self, name: str) -> str:
        found = shutil.which(name, path=self._ansible)
        if found is None:
            where = self._ansible or "PATH"
            raise DeploymentError(f"{name} is not in {where}: say where the Ansible is that has the collection")
        return found

    def _environment(self) -> dict[str, str]:
        path = os.environ.get("PATH", os.defpath)
        if self._ansible:
            path = f"{self._ansible}{os.pathsep}{path}"
        return {**os.environ, "PATH": path, "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true"}


def ssh_options(nodes: t.Sequence[Node]) -> list[str]:
    """Options of OpenSSH with which all these nodes of a deployment are reached by their names.

    :raises DeploymentError: it is not deployed, not on this host, or its nodes are reached in different ways.
    """
    ways = {str(node.way.get("ansible_ssh_common_args", "")): node.name for node in nodes}
    if len(ways) > 1:
        raise DeploymentError(f"these nodes are reached with different options of SSH: {', '.join(ways.values())}")
    options = shlex.split(next(iter(ways)))
    for option, path in zip(options, options[1:], strict=False):
        if option == "-F" and not os.path.exists(path):
            raise DeploymentError(f"{path} is not there: deploy on this host first")
    return options


def _node(name: str, variables: t.Mapping[str, t.Any]) -> Node:
    way = {
        key: value
        for key, value in variables.items()
        if key.startswith("ansible_") and key not in _NOT_THE_WAY and value is not None
    }
    address = str(variables.get("ansible_host") or name)
    deployment, role, network = (str(variables[f"compose_{key}"]) for key in ("deployment", "role", "network"))
    return Node(name, deployment, role, address, network, way)


def _failed(command: t.Sequence[str], code: int, last: t.Iterable[str]) -> DeploymentError:
    return DeploymentError("\n".join([f"{shlex.join(command)}: exit code {code}", *last]))
