# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A provider of EnOSlib: its machines are the nodes of a deployment."""

from __future__ import annotations

import typing as t
from dataclasses import asdict, dataclass

from enoslib.infra.configuration import BaseConfiguration
from enoslib.infra.provider import Provider
from enoslib.objects import DefaultNetwork, Host, Networks, Roles

from .deployment import Deployment, DeploymentError, Node

_NAMES = {"type": "array", "items": {"type": "string"}, "minItems": 1}
_MACHINE = {"roles": _NAMES, "role": {"type": "string"}}
_SCHEMA = {
    "type": "object",
    "properties": {
        "inventory": {"type": "string"},
        "deployment": {"type": "string"},
        "ansible": {"type": "string"},
        "resources": {
            "type": "object",
            "properties": {
                "machines": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": _MACHINE,
                        "required": list(_MACHINE),
                        "additionalProperties": False,
                    },
                },
                "networks": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"roles": _NAMES},
                        "required": ["roles"],
                        "additionalProperties": False,
                    },
                },
            },
            "additionalProperties": False,
        },
    },
    "required": ["inventory"],
    "additionalProperties": False,
}


@dataclass
class MachineConfiguration:
    """The nodes of a role of the composition, under names of the experiment's own."""

    roles: list[str]
    role: str


@dataclass
class NetworkConfiguration:
    """The network of the deployment, under names of the experiment's own."""

    roles: list[str]


class ComposeConf(BaseConfiguration):
    """Which deployment it is, as :class:`Deployment` takes it, and what the experiment calls its roles.

    Without machines, roles are called as in the composition; without networks, the network as the deployment.
    """

    _SCHEMA = _SCHEMA

    def __init__(self) -> None:
        super().__init__()
        self._machine_cls = MachineConfiguration
        self._network_cls = NetworkConfiguration
        self.inventory: str | None = None
        self.deployment: str | None = None
        self.ansible: str | None = None

    @classmethod
    def from_dictionary(cls, dictionary: t.Mapping[str, t.Any], validate: bool = True) -> ComposeConf:
        """As the other configurations of EnOSlib.

        :raises jsonschema.ValidationError: a key is missing, unknown or of another type.
        """
        if validate:
            cls.validate(dictionary)
        resources = dictionary.get("resources", {})
        conf = cls.from_settings(**{key: value for key, value in dictionary.items() if key != "resources"})
        conf.machines = [MachineConfiguration(**each) for each in resources.get("machines", ())]
        conf.networks = [NetworkConfiguration(**each) for each in resources.get("networks", ())]
        return t.cast(ComposeConf, conf.finalize())

    def to_dict(self) -> dict[str, t.Any]:
        """What :meth:`from_dictionary` takes."""
        which = {"inventory": self.inventory, "deployment": self.deployment, "ansible": self.ansible}
        resources = {
            "machines": [asdict(each) for each in self.machines],
            "networks": [asdict(each) for each in self.networks],
        }
        return {**{key: value for key, value in which.items() if value is not None}, "resources": resources}


class Compose(Provider):
    """Deploys, and destroys. Every method that deploys raises :class:`DeploymentError` with what Ansible says."""

    def init(
        self, force_deploy: bool = False, start_time: int | None = None, **kwargs: t.Any
    ) -> tuple[Roles, Networks]:
        """Deploy; nodes that run already as they should are left alone.

        :param force_deploy: destroy first. Data volumes stay.
        :param start_time: without a meaning here.
        """
        deployment = self._deployment()
        machines = self._machines(deployment.nodes())
        if force_deploy:
            deployment.destroy()
        nodes = deployment.deploy()
        roles, networks = Roles(), Networks()
        for machine in machines:
            for role in machine.roles:
                roles[role] += [_host(node) for node in nodes if node.role == machine.role]
        names = [role for network in self.provider_conf.networks for role in network.roles]
        for name in names or [nodes[0].deployment]:
            networks[name] += [DefaultNetwork(nodes[0].network)]
        return roles, networks

    def destroy(self, wait: bool = False, **kwargs: t.Any) -> None:
        """Remove the machines; their data stay. It is waited for in any case."""
        self._deployment().destroy()

    def offset_walltime(self, offset: int) -> None:
        """Nothing ends by itself here."""

    def _deployment(self) -> Deployment:
        conf = self.provider_conf
        return Deployment(conf.inventory, conf.deployment, conf.ansible)

    def _machines(self, nodes: t.Sequence[Node]) -> list[MachineConfiguration]:
        known = sorted({node.role for node in nodes})
        for machine in self.provider_conf.machines:
            if machine.role not in known:
                name = nodes[0].deployment
                raise DeploymentError(f"deployment {name} has no node of role {machine.role!r}: {', '.join(known)}")
        return self.provider_conf.machines or [MachineConfiguration([role], role) for role in known]


def _host(node: Node) -> Host:
    return Host(
        node.address,
        alias=node.name,
        user=node.way.get("ansible_user"),
        port=node.way.get("ansible_port"),
        extra=dict(node.way),
    )
