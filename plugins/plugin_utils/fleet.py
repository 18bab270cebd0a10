# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's side of the fleet modules: which deployments, and what they are told. PRIVATE to the collection."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass, replace

import yaml
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.immutable.compose.plugins.module_utils.describe import values
from ansible_collections.immutable.compose.plugins.module_utils.describe.hostvars import from_hostvars
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.model import codec
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Beside, Deployment
from ansible_collections.immutable.compose.plugins.module_utils.model.plan import SWITCHED
from ansible_collections.immutable.compose.plugins.module_utils.model.result import NodeResult
from ansible_collections.immutable.compose.plugins.module_utils.model.task import TaskResult
from ansible_collections.immutable.compose.plugins.module_utils.platforms.base import Platform
from ansible_collections.immutable.compose.plugins.module_utils.platforms.registry import PLATFORMS
from ansible_collections.immutable.compose.plugins.plugin_utils.artifacts import artifacts, has_last_word
from ansible_collections.immutable.compose.plugins.plugin_utils.connections import forget
from ansible_collections.immutable.compose.plugins.plugin_utils.folds import Folds
from ansible_collections.immutable.compose.plugins.plugin_utils.hooks import answers, asked, remember, told_again
from ansible_collections.immutable.compose.plugins.plugin_utils.memory import Known, Memory
from ansible_collections.immutable.compose.plugins.plugin_utils.secrets import read, with_secrets
from ansible_collections.immutable.compose.plugins.plugin_utils.sources import without_nodes
from ansible_collections.immutable.compose.plugins.plugin_utils.transport import Transport
from ansible_collections.immutable.compose.plugins.plugin_utils.views import Views

display = Display()


@dataclass(frozen=True)
class Step:
    """What the action has to know of a module."""

    #: Makes node documents, or says what nodes said, in which their secrets must be masked.
    secrets: bool = False
    #: Asks or tells the platform something.
    credentials: bool = True
    #: Nodes may be other machines afterwards than they were before.
    boots_nodes: bool = False
    #: Waits for hooks of the user, and is repeated when they have run.
    pauses: bool = False


#: Every fleet module.
STEPS: t.Mapping[str, Step] = {
    "audit_info": Step(),
    "composition_evaluate": Step(credentials=False),
    "composition_info": Step(credentials=False),
    "composition_lock": Step(credentials=False),
    "config_push": Step(secrets=True),
    "deployment_destroy": Step(boots_nodes=True),
    "deployment_page": Step(credentials=False),
    "deployment_plan": Step(secrets=True),
    "deployment_settle": Step(secrets=True, boots_nodes=True, pauses=True),
    "deployment_switch": Step(secrets=True, boots_nodes=True, pauses=True),
    "deployment_verify": Step(secrets=True, boots_nodes=True, pauses=True),
    "drift_info": Step(),
    "image_build": Step(credentials=False),
    "image_reproduce": Step(credentials=False),
    "image_stage": Step(secrets=True),
    "keys_rotate": Step(),
    "nxc_export": Step(),
}

#: What a result says of all deployments together, and not once more for each.
_TOLD_ONCE = ("nodes", "failed_nodes", "diff", "exception")
#: Lines that are shown of what a crashed module left.
_LAST = 20
#: Strategies under which a task runs for each host, whatever it says.
_NOT_ONCE = ("free", "host_pinned")


class FleetAction(ActionBase):
    """Runs the task's module once for each deployment in the batch, and shows its progress meanwhile.

    Deployments are independent: the task fails only if it failed for all of them. A step that goes on with a plan never
    fails: ``deployment_settle`` has the last word on it, and each host its own result.
    """

    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        self.name = self._task.action.rpartition(".")[2]
        self._views = Views(task_vars["hostvars"])
        self.step = STEPS[self.name]
        refusal = self._refusal()
        if refusal:
            return {**result, "failed": True, "msg": refusal}
        given = self._task.args.get("plan")
        try:
            self._plan = None if given is None else codec.decode(TaskResult, given, "plan")
        except InputError as error:
            return {**result, "failed": True, "msg": f"{error}: it is what deployment_plan returned, registered"}
        if self._plan is None and task_vars["ansible_play_batch"][0] == task_vars["ansible_play_hosts_all"][0]:
            for name in without_nodes():
                display.display(
                    f"  compose | deployment {name!r} has no nodes: nothing is done for it or its composition"
                )
        deployments: dict[str, dict[str, t.Any]] = {}
        found = self._deployments(task_vars)
        self.several = len(found) > 1
        self._beside: list[Beside] = []
        put_off: list[str] = []
        for name, batch in found.items():
            under = self._folds.under(name, deployments) if self._holds else None
            done = self._for(name, batch, task_vars, hold=under is None)
            if under is None or done.get("failed"):
                deployments[name] = done
            else:
                put_off.append(name)
            if under is not None and done.get("failed") and name in deployments[under].get("ends", {}):
                Memory(under).give_up(f"deployment {name}, which would have to start again, is refused: {done['msg']}")
        if not deployments:
            return {
                **result,
                "failed": True,
                "msg": "no host of this batch belongs to a deployment of immutable.compose",
            }
        summed = _summed(deployments, goes_on=self._plan is not None or bool(self._task.args.get("only")))
        summed.update({"put_off": put_off} if put_off else {})
        if "asked" not in summed and has_last_word(self.name, self._task.args, check_mode=self._task.check_mode):
            hosts = [host for batch in found.values() for host in batch]
            summed.update(artifacts(self.name, summed, (given or {}).get("nodes", {}), hosts))
        return {**result, **summed}

    def _refusal(self) -> str:
        """Why the task would act more than once on each node; empty if it would not."""
        if not self._task.run_once:
            return f"{self.name} acts on all nodes of the batch at once: it needs 'run_once: true'"
        play = self._task.get_play() if hasattr(self._task, "get_play") else None
        strategy = str(getattr(play, "strategy", "")).rpartition(".")[2]
        if strategy in _NOT_ONCE:
            return (
                f"{self.name} acts on all nodes of the batch at once, but under the strategy {strategy!r} every task "
                "runs for each host: the play needs 'strategy: linear'"
            )
        return ""

    def _deployments(self, task_vars: dict[str, t.Any]) -> dict[str, list[str]]:
        """Deployment → its hosts in this batch."""
        if self._plan is not None:
            return {name: list(part.hosts) for name, part in self._plan.deployments.items()}
        found: dict[str, list[str]] = {}
        for host in task_vars["ansible_play_batch"]:
            deployment = self._views[host].get("compose_deployment")
            if deployment is not None:
                found.setdefault(str(deployment), []).append(host)
        only = self._task.args.get("only") or found
        self._folds = Folds({name: hosts for name, hosts in found.items() if name in only}, self._views)
        return self._folds.ordered(backwards=self.name == "deployment_destroy")

    @property
    def _holds(self) -> bool:
        """Whether what is planned is going to be done."""
        return self.name == "deployment_plan" and not has_last_word(
            self.name, self._task.args, check_mode=self._task.check_mode
        )

    def _for(self, name: str, batch: list[str], task_vars: dict[str, t.Any], *, hold: bool) -> dict[str, t.Any]:
        """The result for one deployment; what fails as a whole is the result of each of its hosts.

        :param hold: ``False``: it is only looked at.
        """
        planned = self._plan.deployments[name] if self._plan else None
        if planned and planned.failed:
            return {**self._task.args["plan"]["deployments"][name], **_failed(batch, planned.msg)}
        memory, plans = Memory(name), self.name == "deployment_plan"
        if plans:
            memory.begin()
        goes_on = planned is not None and self.step.pauses
        ended = memory.ended(self.name) if goes_on else None
        if ended is not None:
            return told_again(self.name, ended, memory, self._views)
        try:
            known = (memory.recall() if planned else None) or self._known(name, task_vars)
            deployment = self._with_secrets(known)
            if plans:
                secretive = [node.name for node in deployment.nodes if node.secrets]
                memory.keep(replace(known, secretive=(*secretive, *deployment.unreadable)))
            members = [node.name for node in deployment.nodes]
            here = set(known.hosts)
            absent = [member for member in members if member not in here]
            args = self._arguments(known.hosts, batch, members, absent, task_vars)
            args.update({} if hold else {"hold": False})
            done = Transport(self, task_vars, f"{name}: " if self.several else "").run(
                deployment,
                batch,
                args,
                absent=absent,
                beside=self._beside,
                carried=self._folds.carried(name) if plans else {},
                problem=memory.given_up,
                hooked=answers(memory, self._views) if goes_on else {},
            )
            done.update(asked(done.pop("ask", None), deployment.hooks, memory))
            if plans and not done.get("failed"):
                self._beside.append(Beside(known.deployment, _starts(done)))
            if self.step.boots_nodes:
                forget(deployment.state)
        except ComposeError as error:
            done = {"failed": True, "msg": str(error)}
        except AnsibleConnectionFailure as error:
            if not planned:
                raise
            # Ansible would drop the host that the task runs for, and take the next step for another one.
            done = {"failed": True, "msg": f"{self.name}: {error}"}
        if done.get("failed"):
            why = self._why(done)
            done.update(msg=why, **_failed(batch, why))
            if planned:
                memory.give_up(why)
        if goes_on:
            remember(self.name, done, memory)
        # Those that the steps which go on with a plan act on; they need not say it again.
        return done if planned else {**done, "hosts": batch}

    def _why(self, result: t.Mapping[str, t.Any]) -> str:
        """What there is to say of a module that failed: its own words, or what is left of one that was ended."""
        ended = "module_stdout" in result  # it could give no result
        if "msg" in result and not ended:
            return str(result["msg"])
        error = result.get("exception")
        words = result.get("module_stderr") if ended else getattr(getattr(error, "event", None), "msg", error)
        code = f" (exit code {result['rc']})" if result.get("rc") else ""
        last = "\n".join(str(words or "it printed nothing").strip().splitlines()[-_LAST:])
        return f"{self.name}: the module has crashed{code}: {last}"

    def _hosts(self, name: str, task_vars: dict[str, t.Any]) -> list[str]:
        """The hosts of a deployment that the inventory of this run has."""
        group = task_vars["groups"].get(group_of(name))
        if group is not None:
            return list(group)
        return [host for host in task_vars["groups"]["all"] if self._views[host].get("compose_deployment") == name]

    def _known(self, name: str, task_vars: dict[str, t.Any]) -> Known:
        """The deployment as the variables of its hosts have it."""
        hosts = self._hosts(name, task_vars)
        return Known(from_hostvars(name, {host: self._views[host] for host in hosts}), tuple(hosts), tuple(hosts))

    def _with_secrets(self, known: Known) -> Deployment:
        """The deployment, with secrets and credentials as far as this step needs them."""
        deployment = known.deployment
        if self.step.secrets:
            deployment = with_secrets(deployment, known.secretive, self._views, self._templar)
        if self.step.credentials:
            variable = read(known.hosts[0], "compose_credentials", self._views, self._templar)
            deployment = replace(deployment, credentials=credentials_of(deployment.platform, os.environ, variable))
        return deployment

    def _arguments(
        self,
        hosts: t.Sequence[str],
        batch: list[str],
        members: list[str],
        absent: list[str],
        task_vars: dict[str, t.Any],
    ) -> dict[str, t.Any]:
        """What the task gives to the module, as it is for one deployment."""
        args = dict(self._task.args)
        if "plan" in args:
            args["plan"] = {}  # the module knows it from the deployment's journal
        if "retire" in args:
            # A run must not take hosts that it does not know for hosts that are gone.
            last_batch = members[-1] in batch
            whole = not absent and set(hosts) <= set(task_vars["ansible_play_hosts_all"])
            args["retire"] = bool(args["retire"]) and last_batch and whole
        if args.get("replace"):
            if isinstance(args["replace"], str):  # as -e says it; the module would split it the same way
                args["replace"] = [name.strip() for name in args["replace"].split(",")]
            hostvars = task_vars["hostvars"]
            others = [host for host in args["replace"] if host not in members and host in hostvars]
            # Nodes of other deployments are theirs to replace; a name that nobody has is refused by each.
            args["replace"] = [
                host for host in args["replace"] if host not in others or "compose_role" not in hostvars[host]
            ]
        if isinstance(args.get("advisories"), str):
            args["advisories"] = _advisories(args["advisories"])
        return args


def _starts(plan: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    return tuple(name for name, node in plan["nodes"].items() if node["action"] in SWITCHED)


def _failed(hosts: t.Sequence[str], message: str) -> dict[str, t.Any]:
    """What failed as a whole, as the result of each host."""
    result = codec.encode(NodeResult(ok=False, message=message))
    return {"nodes": {host: dict(result) for host in hosts}, "failed_nodes": list(hosts)}


def _summed(deployments: dict[str, dict[str, t.Any]], *, goes_on: bool) -> dict[str, t.Any]:
    """The task's result: what is about all hosts, and the result of each deployment by name."""
    failed = {name: each for name, each in deployments.items() if each.get("failed")}
    # Ansible shows those of the task, and no others.
    warnings = [warning for each in deployments.values() for warning in each.pop("warnings", ())]
    nodes: dict[str, t.Any] = {}
    for each in deployments.values():
        nodes.update(each.get("nodes", {}))
    calls = {host: call for each in deployments.values() for host, call in each.pop("asked", {}).items()}
    diff = [entry for each in deployments.values() for entry in each.get("diff", ())]
    summed: dict[str, t.Any] = {
        "changed": any(each.get("changed", False) for each in deployments.values()),
        "pending": any(each.get("pending", False) for each in deployments.values()),
        "nodes": nodes,
        "failed_nodes": [host for each in deployments.values() for host in each.get("failed_nodes", ())],
        **({"asked": calls} if calls else {}),
        "deployments": {
            name: {
                key: value for key, value in each.items() if key not in _TOLD_ONCE and (key, value) != ("failure", None)
            }
            for name, each in deployments.items()
        },
        **({"diff": diff} if diff else {}),
        **({"warnings": warnings} if warnings else {}),
    }
    if len(failed) == len(deployments) and not goes_on:
        messages = [each["msg"] if len(failed) == 1 else f"{name}: {each['msg']}" for name, each in failed.items()]
        first = next(iter(failed.values()))
        for node in nodes.values():
            node.pop("message", None)  # it is the task's own
        return {
            **summed,
            **{key: first[key] for key in ("failure", "exception") if first.get(key)},
            "failed": True,
            "msg": "\n".join(messages),
        }
    for name, each in failed.items():
        display.error(f"deployment {name}: {each['msg']}", wrap_text=False)
    return summed


def _advisories(path: str) -> t.Any:
    """Content of a file with advisories; JSON is YAML, too. :raises InputError: unreadable, or neither."""
    try:
        with open(path, encoding="utf-8") as stream:
            return yaml.load(stream, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"advisories: {error}") from None


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
