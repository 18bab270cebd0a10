# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Between a step that waits for a hook and the tasks of the role that run it. PRIVATE to the collection.

The task's result says which host has to run which file; each host answers in its variable ``deploy_hooked``. Where
several deployments are in the batch, the steps of those that wait for nothing are not taken again.
"""

from __future__ import annotations

import typing as t

from ansible_collections.immutable.compose.plugins.module_utils.model import codec
from ansible_collections.immutable.compose.plugins.module_utils.model.hooks import Ask, Hooks
from ansible_collections.immutable.compose.plugins.module_utils.model.task import HookCall
from ansible_collections.immutable.compose.plugins.plugin_utils.memory import Memory
from ansible_collections.immutable.compose.plugins.plugin_utils.views import Views

#: Of a step that has failed as a whole: the rest is Ansible's.
_OF_FAILURE = ("failed", "msg", "nodes", "failed_nodes", "changed")


def asked(ask: object, hooks: Hooks, memory: Memory) -> dict[str, object]:
    """What the task's result says of a hook that has to run.

    :param ask: what the module returned, if it asks for one.
    """
    if ask is None:
        return {}
    wanted = codec.decode(Ask, ask, "ask")
    memory.ask(wanted)
    call = codec.encode(HookCall(wanted.hook, getattr(hooks, wanted.hook), wanted.token))
    return {"asked": {node: dict(call) for node in wanted.nodes}}


def answers(memory: Memory, views: Views) -> dict[str, str]:
    """What the hook came to that was asked for: node → why it failed; empty if it did not."""
    ask = memory.asked()
    return {node: _answer(views[node].get("deploy_hooked"), ask.token) for node in ask.nodes} if ask else {}


def _answer(told: object, token: str) -> str:
    if isinstance(told, t.Mapping) and told.get("token") == token:
        return str(told["message"])
    return "it has not come to its end: the host was lost on the way, or nobody ran it but the role deploy would have"


def remember(step: str, done: t.Mapping[str, t.Any], memory: Memory) -> None:
    """Keep what a step came to, unless it is to go on."""
    calls = done.get("asked", {}).values()
    if done.get("failed"):
        memory.end(step, {key: done[key] for key in _OF_FAILURE if key in done})
    elif all(call["hook"] == "end" for call in calls):
        memory.end(step, {key: value for key, value in done.items() if key not in ("asked", "warnings")})


def told_again(step: str, ended: dict[str, t.Any], memory: Memory, views: Views) -> dict[str, t.Any]:
    """The result of a step that has come to its end; the last one's with what became of the hook at the end."""
    if step != "deployment_settle":
        return ended
    for node, why in answers(memory, views).items():
        if why:
            word = ended["nodes"][node]
            words = [word.get("message"), f"end: {why}"]
            word.update(ok=False, message="; ".join(filter(None, words)))
            ended["failed_nodes"] = sorted({*ended["failed_nodes"], node})
    memory.end(step, ended)
    return ended
