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
        plan, last = (self._task.args.get(name) or {} for name in ("plan", "result"))
        result.update({key: plan[key] for key in ("action", "image", "running", "why") if plan.get(key)})
        result["changed"] = last.get("changed", False) if last else plan.get("action") not in (None, "keep")
        if last.get("back_on"):
            result["reverted_to"] = last["back_on"]
        if last.get("evidence"):
            result["evidence"] = last["evidence"]
        word = last or plan
        if word.get("message"):
            result["msg"] = word["message"]
        if not word.get("ok", True):
            result["failed"] = True
        return result
