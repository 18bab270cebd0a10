# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin of the module of the same name."""

from __future__ import annotations

import typing as t

from ansible_collections.immutable.compose.plugins.plugin_utils.fleet import FleetAction


class ActionModule(FleetAction):
    """See :class:`FleetAction`."""

    boots_nodes = True
    needs_secrets = True

    def _batch(self, task_vars: dict[str, t.Any]) -> list[str]:
        """Hosts of the plan: those that failed meanwhile do not count as Ansible's batch any more."""
        steps = self._task.args["plan"]["steps"]
        return [host for host in task_vars["ansible_play_hosts_all"] if host in steps]
