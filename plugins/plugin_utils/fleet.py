# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's side of the fleet modules: which deployments, and what they are told. PRIVATE to the collection."""

from __future__ import annotations

import os
import typing as t
from dataclasses import replace

from ansible.plugins.action import ActionBase

from ansible_collections.immutable.compose.plugins.module_utils.composition import values
from ansible_collections.immutable.compose.plugins.module_utils.composition.deployment import from_hostvars
from ansible_collections.immutable.compose.plugins.module_utils.composition.model import Deployment
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.platforms.base import Platform
from ansible_collections.immutable.compose.plugins.module_utils.platforms.registry import PLATFORMS
from ansible_collections.immutable.compose.plugins.plugin_utils.connections import forget
from ansible_collections.immutable.compose.plugins.plugin_utils.secrets import read, with_secrets
from ansible_collections.immutable.compose.plugins.plugin_utils.transport import Transport


class FleetAction(ActionBase):
    """Runs the module of the same name once for each deployment in the batch, and shows its progress meanwhile.

    Results are those of the module where the batch has one deployment; of several, ``deployments`` has them by name.
    """

    _requires_connection = True
    #: Nodes may be other machines afterwards than they were before.
    boots_nodes: t.ClassVar[bool] = False
    #: Makes node documents, or says what nodes said, in which their secrets must be masked.
    needs_secrets: t.ClassVar[bool] = False
    #: Asks or tells the platform something.
    needs_credentials: t.ClassVar[bool] = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        deployments: dict[str, dict[str, t.Any]] = {}
        for name, (hosts, batch) in self._deployments(task_vars).items():
            try:
                deployment = self._deployment(name, hosts, task_vars)
                args = self._arguments(name, hosts, batch, deployment, task_vars)
                deployments[name] = Transport(self, task_vars).run(deployment, batch, args)
            except ComposeError as error:
                return {**result, "failed": True, "msg": str(error)}
            if self.boots_nodes:
                forget(deployment.state)
            if deployments[name].get("failed"):
                return {**result, **deployments[name]}
        if not deployments:
            return {
                **result,
                "failed": True,
                "msg": "no host of this batch belongs to a deployment of immutable.compose",
            }
        return {**result, **_combine(deployments)}

    def _deployments(self, task_vars: dict[str, t.Any]) -> dict[str, tuple[list[str], list[str]]]:
        """Deployment → all its hosts, and those of this batch."""
        hostvars = task_vars["hostvars"]
        found: dict[str, list[str]] = {}
        for host in self._batch(task_vars):
            deployment = hostvars[host].get("compose_deployment")
            if deployment is not None:
                found.setdefault(str(deployment), []).append(host)
        groups = task_vars["groups"]
        return {name: (list(groups[group_of(name)]), batch) for name, batch in found.items()}

    def _batch(self, task_vars: dict[str, t.Any]) -> list[str]:
        return list(task_vars["ansible_play_batch"])

    def _deployment(self, name: str, hosts: list[str], task_vars: dict[str, t.Any]) -> Deployment:
        """With what only some steps need if this is one of them."""
        hostvars = task_vars["hostvars"]
        deployment = from_hostvars(name, {host: hostvars[host] for host in hosts})
        if self.needs_secrets:
            deployment = with_secrets(deployment, hostvars, self._templar)
        if self.needs_credentials:
            variable = read(hosts[0], "compose_credentials", hostvars, self._templar)
            deployment = replace(deployment, credentials=credentials_of(deployment.platform, os.environ, variable))
        return deployment

    def _arguments(
        self, name: str, hosts: list[str], batch: list[str], deployment: Deployment, task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        """What the task gives to the module, as it is for one deployment."""
        args = dict(self._task.args)
        if "plan" in args:
            args["plan"] = args["plan"].get("deployments", {name: args["plan"]})[name]
        if "retire" in args:
            # A limited run must not take hosts that it does not know for hosts that are gone.
            last_batch = deployment.nodes[-1].name in batch
            whole = set(hosts) <= set(task_vars["ansible_play_hosts_all"])
            args["retire"] = bool(args["retire"]) and last_batch and whole
        return args


def group_of(deployment: str) -> str:
    """The group that the inventory plugin makes for a deployment."""
    return f"deployment_{deployment.replace('-', '_')}"


def credentials_of(platform: str, environment: t.Mapping[str, str], variable: t.Any) -> dict[str, str]:
    """What logs in to a platform.

    :param environment: of the controller.
    :param variable: the value of ``compose_credentials``, which wins.
    :raises InputError: another platform's word, or something that is no string; never says a value.
    """
    owner = PLATFORMS.get(platform, Platform)
    if not isinstance(variable, t.Mapping):
        raise InputError(f"compose_credentials is of type {type(variable).__name__}, expected a mapping of strings")
    values.known(variable, owner.environment, "compose_credentials", f"credential of platform {platform!r}")
    given = {name: environment[key] for name, key in owner.environment.items() if environment.get(key)}
    given.update((name, str(value)) for name, value in values.secrets(variable, "compose_credentials").items())
    return given


def _combine(deployments: dict[str, dict[str, t.Any]]) -> dict[str, t.Any]:
    if len(deployments) == 1:
        return next(iter(deployments.values()))
    combined: dict[str, t.Any] = {}
    for result in deployments.values():
        for key, value in result.items():
            if isinstance(value, list) and isinstance(combined.get(key), list):
                combined[key] = combined[key] + value
            elif isinstance(value, dict) and isinstance(combined.get(key), dict):
                combined[key] = {**combined[key], **value}
            elif isinstance(value, bool):
                combined[key] = bool(combined.get(key)) or value
            else:
                combined[key] = value
    return {**combined, "deployments": deployments}
