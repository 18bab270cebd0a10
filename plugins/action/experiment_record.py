# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes down what a trial has measured, on the controller."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, in_words
from ansible_collections.immutable.compose.plugins.module_utils.experiments.measured import measured_by, write


class ActionModule(ActionBase):
    """A file on the controller: no connection, no module run, which would take as long as a whole step."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        dummy, arguments = self.validate_argument_spec(
            {"result": {"type": "dict", "required": True}, "directory": {"type": "path", "required": True}}
        )
        try:
            measured = measured_by(arguments["result"])
            if not self._task.check_mode:
                write(measured, arguments["directory"])
        except ComposeError as error:
            return {"failed": True, "msg": str(error)}
        except OSError as error:
            return {"failed": True, "msg": in_words(error)}
        return {"changed": True, "ok": measured.ok}
