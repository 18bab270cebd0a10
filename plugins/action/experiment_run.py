# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs an experiment: one ``ansible-playbook`` for each trial."""

from __future__ import annotations

import os
import typing as t
from functools import partial

from ansible import context
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.immutable.compose.plugins.module_utils.describe.deployment import Others
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, in_words
from ansible_collections.immutable.compose.plugins.plugin_utils.again import end_with_run, options, play
from ansible_collections.immutable.compose.plugins.plugin_utils.experiment import Asked, prepare
from ansible_collections.immutable.compose.plugins.plugin_utils.variations import Variations


class ActionModule(ActionBase):
    """Wires the inventory of the run to the experiment; no connection, no module run."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        dummy, arguments = self.validate_argument_spec(
            {
                "file": {"type": "path", "required": True},
                "results": {"type": "path"},
                "runner": {"type": "str", "default": ""},
            }
        )
        file = os.path.abspath(arguments["file"])
        results = arguments["results"] and os.path.abspath(arguments["results"])
        asked = Asked(file, results, arguments["runner"], _runs_scripts(task_vars or {}))
        try:
            options()
            sources = context.CLIARGS.get("inventory") or ()
            prepared = prepare(asked, Variations(self._loader, sources, _others(task_vars or {})))
            if self._task.check_mode:
                return {"changed": bool(prepared.left), "results": prepared.results.path, "left": prepared.left}
            end_with_run()
            outcome = prepared.run(partial(play), partial(Display().display))
        except ComposeError as error:
            return {"failed": True, "msg": str(error)}
        except OSError as error:
            return {"failed": True, "msg": in_words(error)}
        failed = dict(outcome.failed)
        words = f"{len(failed)} trials failed; the same command tries them again: " + "; ".join(
            f"{trial}: {message}" for trial, message in list(failed.items())[:3]
        )
        return {
            "failed": bool(failed),
            "changed": bool(outcome.done),
            **({"msg": words} if failed else {}),
            "results": prepared.results.path,
            "page": outcome.page,
            "done": list(outcome.done),
            "failures": failed,
            "left": list(outcome.left),
        }


def _runs_scripts(variables: t.Mapping[str, t.Any]) -> bool:
    """Whether all deployments are built on a localhost that nobody has defined: it has this interpreter."""
    groups, hosts = variables.get("groups", {}), variables.get("hostvars", {})
    builders = {hosts.raw_get(name).get("compose_host", "localhost") for name in groups.get("immutable", ())}
    return builders <= {"localhost"} and "localhost" not in groups.get("all", ())


def _others(variables: t.Mapping[str, t.Any]) -> Others:
    """What other inventory sources define: all hosts that are no nodes, as far as a placement asks for them, and nodes
    as far as others are folded onto them."""
    groups, hosts = variables.get("groups", {}), variables.get("hostvars", {})
    nodes = set(groups.get("immutable", ()))
    found = {name: hosts.raw_get(name) for name in groups.get("all", ()) if name not in nodes}
    named = [group for name, group in groups.items() if name.startswith("deployment_") and group]
    return Others(
        found,
        {name: [each for each in group if each not in nodes] for name, group in groups.items()},
        deployments={str(hosts.raw_get(group[0]).get("compose_deployment")): group for group in named},
        held=hosts.raw_get,
    )
