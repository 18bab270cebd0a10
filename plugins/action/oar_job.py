# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs ``oar_job`` and shows its progress meanwhile: a queue may be long."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.immutable.compose.plugins.plugin_utils.transport import Transport


class ActionModule(ActionBase):
    """The module itself, on the host of the task."""

    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        return {**result, **Transport(self, task_vars or {}).follow(self._task.args)}
