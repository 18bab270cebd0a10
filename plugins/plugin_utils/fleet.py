# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's side of the fleet modules: arguments, progress. PRIVATE to the collection."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import typing as t
import uuid
from pathlib import Path

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.immutable.compose.plugins.module_utils.composition.deployment import from_hostvars
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.plugin_utils.connections import forget

display = Display()

#: Seconds between two looks at a module's progress.
POLL = 0.1

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
        args = dict(self._task.args)
        if "plan" in args:
            args["plan"] = args["plan"]["deployments"][name]
        if "retire" in args:
            # A limited run must not take hosts that it does not know for hosts that are gone.
            last_batch = deployment["nodes"][-1]["name"] in batch
            whole = set(hosts) <= set(task_vars["ansible_play_hosts_all"])
            args["retire"] = bool(args["retire"]) and last_batch and whole
        return {
            **args,
            "deployment": deployment,
            "secrets": {node: values for node, values in secrets.items() if values},
            "batch": batch,
            "support": self._support(),
        }

    def _support(self) -> dict[str, t.Any]:
        if self._connection.transport == "local":
            return {"path": str(NIX)}
        files = {str(path.relative_to(NIX)): path.read_text() for path in sorted(NIX.rglob("*")) if path.is_file()}
        digest = hashlib.sha256(repr(files).encode()).hexdigest()[:16]
        return {"files": files, "digest": digest}

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
        follower = _Follower(path)
        while worker.is_alive():
            worker.join(POLL)
            follower.show()
        follower.close()
        return outcome


class _Follower:
    """Shows the lines that are appended to a progress file on the controller."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.offset = 0

    def show(self) -> None:
        try:
            with open(self.path, encoding="utf-8", errors="replace") as stream:
                stream.seek(self.offset)
                text = stream.read()
        except FileNotFoundError:
            return
        complete = text[: text.rfind("\n") + 1]
        self.offset += len(complete.encode())
        for line in complete.splitlines():
            display.display(f"  compose | {line}")

    def close(self) -> None:
        self.show()
        if os.path.exists(self.path):
            os.unlink(self.path)


def group_of(deployment: str) -> str:
    """The group that the inventory plugin makes for a deployment."""
    return f"deployment_{deployment.replace('-', '_')}"


def _combine(deployments: dict[str, dict[str, t.Any]]) -> dict[str, t.Any]:
    combined: dict[str, t.Any] = {}
    for result in deployments.values():
        for key, value in result.items():
            if key in ("failed_nodes", "diff", "built", "retired") and key in combined:
                combined[key] = combined[key] + value
            elif isinstance(value, dict) and isinstance(combined.get(key), dict):
                combined[key] = {**combined[key], **value}
            elif isinstance(value, bool):
                combined[key] = bool(combined.get(key)) or value
            else:
                combined[key] = value
    return {**combined, "deployments": deployments}
