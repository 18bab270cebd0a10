# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each host's own result of the fleet steps, so that a failed node is a failed host in the recap and in AWX."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Nothing but words about this host's registered results: no connection, no module run."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        step, revert = (self._task.args.get(name) or {} for name in ("plan", "revert"))
        result.update({key: step.get(key) for key in ("action", "image", "running")})
        result["changed"] = step.get("action") not in (None, "keep")
        failures = []
        for name in ("switch", "verify"):
            outcome = self._task.args.get(name) or {"ok": True}
            if not outcome["ok"]:
                failures.append(f"{name}: {outcome['message']}")
        if revert:
            result["reverted_to"] = revert.get("back_on")
            if not revert["ok"]:
                failures.append(f"revert: {revert['message']}")
            elif result["reverted_to"]:
                failures.append(f"back on the last verified image {result['reverted_to']}")
            elif revert["changed"]:
                failures.append(revert["message"])
            elif not failures:
                failures.append("left alone: it runs its last verified image")
        if failures:
            result.update(failed=True, msg="; ".join(failures))
        return result
