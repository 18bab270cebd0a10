# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each host's own result of the fleet steps, so that a failed node is a failed host in the recap and in AWX."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Nothing but arithmetic on registered results: no connection, no module run."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        host = (task_vars or {})["inventory_hostname"]
        args = self._task.args
        step = args["plan"]["steps"].get(host, {})
        result.update(action=step.get("action"), image=step.get("image"), running=step.get("running"))
        result["changed"] = step.get("action") not in (None, "keep")
        failures = []
        for name, key in (("switch", "results"), ("verify", "nodes")):
            part = (args.get(name) or {}).get(key, {}).get(host)
            if part is not None and not part["ok"]:
                failures.append(f"{name}: {part['message']}")
        reverted = (args.get("revert") or {}).get("results", {}).get(host)
        if reverted is not None:
            result["reverted_to"] = args["revert"]["back_on"].get(host)
            if not reverted["ok"]:
                failures.append(f"revert: {reverted['message']}")
            elif result["reverted_to"]:
                failures.append(f"back on the last verified image {result['reverted_to']}")
            elif reverted["changed"]:
                failures.append("stopped: there is no verified image to go back to")
            elif not failures:
                failures.append("left alone: it runs its last verified image")
        if failures:
            result.update(failed=True, msg="; ".join(failures))
        return result
