# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of hosts, as a task reads them. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ansible.vars.hostvars import HostVars


class Views(dict[str, t.Any]):
    """What ``hostvars`` has, put together once for each host while a task runs: that takes longer than to read it."""

    def __init__(self, hostvars: HostVars) -> None:
        super().__init__()
        self._hostvars = hostvars

    def __missing__(self, host: str) -> t.Any:
        self[host] = view = self._hostvars[host]
        return view

    def raw_get(self, host: str) -> t.Any:
        """As that of ``hostvars``: nothing is templated."""
        return self._hostvars.raw_get(host)
