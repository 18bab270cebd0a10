# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's side of the fleet modules: arguments, progress. PRIVATE to the collection."""

from __future__ import annotations

import os
import shlex
import tempfile
import threading
import typing as t
import uuid
from pathlib import Path

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.immutable.compose.plugins.module_utils.builders.revision import git_revision, source_at
from ansible_collections.immutable.compose.plugins.module_utils.composition import values
from ansible_collections.immutable.compose.plugins.module_utils.composition.deployment import from_hostvars
from ansible_collections.immutable.compose.plugins.module_utils.deploy.shipped import pack
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.platforms.base import Platform
from ansible_collections.immutable.compose.plugins.module_utils.platforms.registry import PLATFORMS
from ansible_collections.immutable.compose.plugins.plugin_utils.connections import forget

display = Display()

#: Seconds between two looks at a module's progress.
POLL = 0.1
#: The same where each look is a command on another host.
REMOTE_POLL = 3.0

NIX = Path(__file__).resolve().parents[2] / "nix"


class FleetAction(ActionBase):
    """Runs the module of the same name once for each deployment in the batch, and shows its progress meanwhile.

    Results are those of the module where the batch has one deployment; ``deployments`` has them by name in any case.
    """

    _requires_connection = True
    #: Nodes may be other machines afterwards than they were before.
    boots_nodes: t.ClassVar[bool] = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        deployments: dict[str, dict[str, t.Any]] = {}
        for name, (hosts, batch) in self._deployments(task_vars).items():
            try:
                args = self._arguments(name, hosts, batch, task_vars)
            except ComposeError as error:
                return {**result, "failed": True, "msg": str(error)}
            deployments[name] = self._run_module(args, task_vars)
            if self.boots_nodes:
                forget(args["deployment"]["state"])
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

    def _arguments(
        self, name: str, hosts: list[str], batch: list[str], task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        hostvars = task_vars["hostvars"]
        deployment = from_hostvars(name, {host: hostvars[host] for host in hosts}).to_json()
        secrets = {node["name"]: node.pop("secrets") for node in deployment["nodes"]}
        # Those that are no secrets travel with the deployment: a masked host name would spoil every result.
        deployment["credentials"], credentials = credentials_of(
            deployment["platform"], os.environ, hostvars[hosts[0]].get("compose_credentials", {})
        )
        args = dict(self._task.args)
        if "plan" in args:
            args["plan"] = args["plan"]["deployments"][name]
        if "retire" in args:
            # A limited run must not take hosts that it does not know for hosts that are gone.
            last_batch = deployment["nodes"][-1]["name"] in batch
            whole = set(hosts) <= set(task_vars["ansible_play_hosts_all"])
            args["retire"] = bool(args["retire"]) and last_batch and whole
        # Without its composition, a deployment gets steps only that need none.
        if self._connection.transport != "local" and not deployment["broken"]:
            source = source_at(deployment["composition"], deployment["revision"])
            revision = source.revision or git_revision(source.path, display.warning)
            args["composition_source"] = {**pack(source.path), "revision": revision}
        return {
            **args,
            "deployment": deployment,
            "secrets": {node: values for node, values in secrets.items() if values},
            "credentials": credentials,
            "batch": batch,
            "support": self._support(),
        }

    def _support(self) -> dict[str, t.Any]:
        if self._connection.transport == "local":
            return {"path": str(NIX)}
        return dict(pack(str(NIX)))

    def _run_module(self, args: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        path = os.path.join(tempfile.gettempdir(), f"compose-progress-{uuid.uuid4().hex}")
        args["progress_file"] = path
        outcome: dict[str, t.Any] = {}

        def work() -> None:
            try:
                outcome.update(
                    self._execute_module(module_name=self._task.action, module_args=args, task_vars=task_vars)
                )
            except Exception as error:  # shown as the task's own failure, from the main thread
                outcome.update(failed=True, msg=f"{type(error).__name__}: {error}")

        worker = threading.Thread(target=work)
        worker.start()
        local = self._connection.transport == "local"
        follower = _Follower(path, _read_here if local else self._read_there)
        while worker.is_alive():
            worker.join(POLL if local else REMOTE_POLL)
            follower.show()
        follower.show()
        if not local:
            self._low_level_execute_command(f"rm -f {shlex.quote(path)}")
        elif os.path.exists(path):
            os.unlink(path)
        return outcome

    def _read_there(self, path: str, offset: int) -> bytes:
        shown = self._low_level_execute_command(f"tail -c +{offset + 1} {shlex.quote(path)} 2>/dev/null || :")
        return str(shown["stdout"]).encode()


class _Follower:
    """Shows the lines that are appended to a progress file.

    :param read: path and offset → what the file has from there on.
    """

    def __init__(self, path: str, read: t.Callable[[str, int], bytes]) -> None:
        self.path = path
        self.read = read
        self.offset = 0

    def show(self) -> None:
        text = self.read(self.path, self.offset)
        complete = text[: text.rfind(b"\n") + 1]
        self.offset += len(complete)
        for line in complete.decode("utf-8", "replace").splitlines():
            display.display(f"  compose | {line}")


def _read_here(path: str, offset: int) -> bytes:
    try:
        with open(path, "rb") as stream:
            stream.seek(offset)
            return stream.read()
    except FileNotFoundError:
        return b""


def group_of(deployment: str) -> str:
    """The group that the inventory plugin makes for a deployment."""
    return f"deployment_{deployment.replace('-', '_')}"


def credentials_of(
    platform: str, environment: t.Mapping[str, str], variable: t.Any
) -> tuple[dict[str, str], dict[str, str]]:
    """What logs in to a platform: what is no secret, and what is one.

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
    public = {name: value for name, value in given.items() if name in owner.public_credentials}
    return public, {name: value for name, value in given.items() if name not in public}


def _combine(deployments: dict[str, dict[str, t.Any]]) -> dict[str, t.Any]:
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
