# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine of execo: its hosts are the nodes of a deployment."""

from __future__ import annotations

import typing as t

from execo import Host
from execo_engine import Engine

from .deployment import Deployment, ssh_options

#: As execo's own, but for what it says of host keys: those of nodes are known.
_OPTIONS = ("-o", "BatchMode=yes", "-o", "PasswordAuthentication=no", "-o", "ConnectTimeout=20")


class ComposeEngine(Engine):
    """Deploys before ``run`` of whoever inherits from it. The engine's options say what, see ``--help``.

    execo calls ``init`` of subclasses first: what they need hosts for belongs into ``run``.
    """

    def __init__(self) -> None:
        super().__init__()
        add = self.args_parser.add_argument
        add("-i", "--inventory", required=True, help="inventory of Ansible with the deployment")
        add("--deployment", help="name of the deployment, if the inventory has several")
        add("--ansible", metavar="DIR", help="directory with the commands of the Ansible that has the collection")
        add("--destroy", action="store_true", help="destroy the machines at the end, whatever it is")
        #: Role of the composition → its nodes, as hosts of execo.
        self.hosts: dict[str, list[Host]] = {}
        #: What every action and process is given to reach them.
        self.connection_params: dict[str, t.Any] = {}

    def start(self, *args: t.Any, **kwargs: t.Any) -> None:
        """As execo's, and destroy at the end if that is asked for.

        :raises DeploymentError: with what Ansible says.
        """
        try:
            super().start(*args, **kwargs)
        finally:
            if self.args is not None and self.args.destroy:
                self._deployment().destroy()

    def init(self) -> None:
        """Deploy; nodes that run already as they should are left alone."""
        nodes = self._deployment().deploy()
        for node in nodes:
            user, port = node.way.get("ansible_user"), node.way.get("ansible_port")
            self.hosts.setdefault(node.role, []).append(Host(node.address, user, port=port))
        options = (*ssh_options(nodes), *_OPTIONS)
        self.connection_params = {
            "ssh_options": ("-tt", *options),
            "scp_options": (*options, "-rp"),
            "taktuk_connector_options": options,
        }

    def _deployment(self) -> Deployment:
        args: t.Any = self.args  # there once the engine is started
        return Deployment(args.inventory, args.deployment, args.ansible)
